#include "core/scsi/table.h"

#include <algorithm>
#include <array>

#include "core/io/engine.h"
#include "core/scsi/disk.h"

namespace iscsi::scsi {
namespace {

using H = Handlers;
constexpr uint16_t D = Row::disk, B = Row::both, QUIET = Row::ignores_attention, MEDIUM = Row::needs_medium,
                   WRITES = Row::writes, THIN = Row::thin_only;
constexpr Flow none = Flow::none, in = Flow::data_in, out = Flow::data_out, mr = Flow::medium_read, mw = Flow::medium_write;
constexpr MediumOp rd = MediumOp::read, wr = MediumOp::write, ver = MediumOp::verify, wv = MediumOp::write_verify, orw = MediumOp::orwrite;

// clang-format off
constexpr Row rows[] = {
    //op svc len flags               access                 flow  at sz op   check                      run                  usage
    {0x00, -1,  6, B,                Access::free_persistent,none, 0, 0, rd, H::test_unit_ready,        nullptr,             {0, 0, 0, 0, 0, 4}},
    {0x03, -1,  6, B|QUIET,          Access::free,          in,   4, 1, rd,  nullptr,                   H::request_sense,    {0, 1, 0, 0, 0xff, 4}},
    {0x04, -1,  6, D|MEDIUM|WRITES,  Access::write,         none, 0, 0, wr,  H::check_format,           H::format_unit,      {0, 0xff, 0, 0, 0, 4}},
    {0x08, -1,  6, D|MEDIUM,         Access::read,          mr,   0, 0, rd,  H::check_medium,           nullptr,             {0, 0x1f, 0xff, 0xff, 0xff, 4}},
    {0x0a, -1,  6, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, wr,  H::check_medium,           nullptr,             {0, 0x1f, 0xff, 0xff, 0xff, 4}},
    {0x12, -1,  6, B|QUIET,          Access::free,          in,   3, 2, rd,  H::inquiry,                H::vital_product_data, {0, 1, 0xff, 0xff, 0xff, 4}},
    {0x15, -1,  6, D|MEDIUM,         Access::write,         out,  4, 1, rd,  nullptr,                   H::mode_select,      {0, 0x11, 0, 0, 0xff, 4}},
    {0x16, -1,  6, D,                Access::persistent_out,none, 0, 0, rd,  H::check_reserve,          H::reserve,          {0, 0, 0, 0, 0, 4}},
    {0x17, -1,  6, D,                Access::release,       none, 0, 0, rd,  H::check_reserve,          H::release,          {0, 0, 0, 0, 0, 4}},
    {0x1a, -1,  6, D|MEDIUM,         Access::read,          in,   4, 1, rd,  H::check_mode_sense,       H::mode_sense,       {0, 8, 0xff, 0xff, 0xff, 4}},
    {0x1b, -1,  6, D,                Access::write,         none, 0, 0, rd,  nullptr,                   H::start_stop,       {0, 1, 0, 0x0f, 0xf7, 4}},
    {0x1d, -1,  6, D,                Access::write,         none, 0, 0, rd,  H::check_format,           nullptr,             {0, 0x04, 0, 0, 0, 4}},
    {0x1e, -1,  6, D,                Access::write,         none, 0, 0, rd,  nullptr,                   H::prevent_allow,    {0, 0, 0, 0, 3, 4}},
    {0x25, -1, 10, D|MEDIUM,         Access::free,          in,   0, 0, rd,  H::check_capacity_10,      H::capacity_10,      {0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 4}},
    {0x28, -1, 10, D|MEDIUM,         Access::read,          mr,   0, 0, rd,  H::check_medium,           nullptr,             {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 4}},
    {0x2a, -1, 10, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, wr,  H::check_medium,           nullptr,             {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 4}},
    {0x2e, -1, 10, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, wv,  H::check_medium,           nullptr,             {0, 0xf6, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 4}},
    {0x2f, -1, 10, D|MEDIUM,         Access::read,          none, 0, 0, ver, H::check_verify,           H::verify_medium,    {0, 0xf6, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 4}},
    {0x34, -1, 10, D|MEDIUM,         Access::read,          none, 0, 0, rd,  H::check_range,            H::prefetch,         {0, 2, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 4}},
    {0x35, -1, 10, D|MEDIUM,         Access::write,         none, 0, 0, wr,  H::check_range,            H::synchronize,      {0, 6, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 4}},
    {0x41, -1, 10, D|MEDIUM|WRITES,  Access::write,         out,  0, 0, wr,  H::check_write_same,       H::write_same,       {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 4}},
    {0x42, -1, 10, D|MEDIUM|WRITES|THIN, Access::write,     out,  7, 2, wr,  H::check_unmap,            H::unmap,            {0, 1, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 4}},
    {0x55, -1, 10, D|MEDIUM,         Access::write,         out,  7, 2, rd,  nullptr,                   H::mode_select,      {0, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
    {0x56, -1, 10, D,                Access::persistent_out,none, 0, 0, rd,  H::check_reserve,          H::reserve,          {0, 0, 0, 0, 0, 0, 0, 0, 0, 4}},
    {0x57, -1, 10, D,                Access::release,       none, 0, 0, rd,  H::check_reserve,          H::release,          {0, 0, 0, 0, 0, 0, 0, 0, 0, 4}},
    {0x5a, -1, 10, D|MEDIUM,         Access::read,          in,   7, 2, rd,  H::check_mode_sense,       H::mode_sense,       {0, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 4}},
    {0x5e,  0, 10, D,                Access::persistent_in, in,   7, 2, rd,  nullptr,                   H::persistent_in,    {0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
    {0x5e,  1, 10, D,                Access::persistent_in, in,   7, 2, rd,  nullptr,                   H::persistent_in,    {0, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
    {0x5e,  2, 10, D,                Access::persistent_in, in,   7, 2, rd,  nullptr,                   H::persistent_in,    {0, 2, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
    {0x5e,  3, 10, D,                Access::persistent_in, in,   7, 2, rd,  nullptr,                   H::persistent_in,    {0, 3, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
    {0x5f,  0, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x5f,  1, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 1, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x5f,  2, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 2, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x5f,  3, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x5f,  4, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 4, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x5f,  5, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 5, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x5f,  6, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x5f,  7, 10, D,                Access::persistent_out,out,  5, 4, rd,  nullptr,                   H::persistent_out,   {0, 7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 4}},
    {0x88, -1, 16, D|MEDIUM,         Access::read,          mr,   0, 0, rd,  H::check_medium,           nullptr,             {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x89, -1, 16, D|MEDIUM|WRITES,  Access::write,         out,  0, 0, wr,  H::check_compare_and_write,H::compare_and_write,{0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0x1f, 4}},
    {0x8a, -1, 16, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, wr,  H::check_medium,           nullptr,             {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x8b, -1, 16, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, orw, H::check_medium,           nullptr,             {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x8e, -1, 16, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, wv,  H::check_medium,           nullptr,             {0, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x8f, -1, 16, D|MEDIUM,         Access::read,          none, 0, 0, ver, H::check_verify,           H::verify_medium,    {0, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x90, -1, 16, D|MEDIUM,         Access::read,          none, 0, 0, rd,  H::check_range,            H::prefetch,         {0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x91, -1, 16, D|MEDIUM,         Access::write,         none, 0, 0, wr,  H::check_range,            H::synchronize,      {0, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x93, -1, 16, D|MEDIUM|WRITES,  Access::write,         out,  0, 0, wr,  H::check_write_same,       H::write_same,       {0, 0xf9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0x9e, 0x10, 16, D|MEDIUM,       Access::free,          in,  10, 4, rd,  nullptr,                   H::capacity_16,      {0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 4}},
    {0x9e, 0x12, 16, D|MEDIUM,       Access::read,          in,  10, 4, rd,  H::check_lba_status,       H::lba_status,       {0, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 4}},
    {0xa0, -1, 12, B|QUIET,          Access::free,          in,   6, 4, rd,  nullptr,                   H::report_luns,      {0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 4}},
    {0xa3, 0x0c, 12, B,              Access::free_persistent,in,  6, 4, rd,  nullptr,                   H::report_opcodes,   {0, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 4}},
    {0xa3, 0x0d, 12, B,              Access::free_persistent,in,  6, 4, rd,  nullptr,                   H::report_tmf,       {0, 0x0d, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 4}},
    {0xa8, -1, 12, D|MEDIUM,         Access::read,          mr,   0, 0, rd,  H::check_medium,           nullptr,             {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0xaa, -1, 12, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, wr,  H::check_medium,           nullptr,             {0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0xae, -1, 12, D|MEDIUM|WRITES,  Access::write,         mw,   0, 0, wv,  H::check_medium,           nullptr,             {0, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
    {0xaf, -1, 12, D|MEDIUM,         Access::read,          none, 0, 0, ver, H::check_verify,           H::verify_medium,    {0, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 4}},
};
// clang-format on

static_assert(std::size(rows) < 255);
static_assert(std::is_sorted(std::begin(rows), std::end(rows), [](const Row& a, const Row& b) {
    return a.opcode != b.opcode ? a.opcode < b.opcode : a.service < b.service;
}));

// Opcode -> its first row; 255: none.
constexpr auto first_row = [] {
    std::array<uint8_t, 256> first{};
    first.fill(255);
    for (size_t i = std::size(rows); i-- > 0;) first[rows[i].opcode] = uint8_t(i);
    return first;
}();

}  // namespace

std::span<const Row> all_rows() { return rows; }

const Row* find_row(DeviceType type, const uint8_t* cdb, bool& known_opcode) {
    const uint16_t device = type == DeviceType::disk ? Row::disk : Row::controller;
    known_opcode = false;
    for (size_t i = first_row[cdb[0]]; i < std::size(rows) && rows[i].opcode == cdb[0]; i++) {
        if (!(rows[i].flags & device)) continue;
        known_opcode = true;
        if (rows[i].service < 0 || rows[i].service == (cdb[1] & 0x1f)) return &rows[i];
    }
    return nullptr;
}

Disk& Handlers::disk(Unit& u) { return static_cast<Disk&>(u); }

bool Handlers::illegal(Command& c, uint8_t asc, uint8_t ascq) {
    fail(c, SenseKey::illegal_request, asc, ascq);
    return false;
}

bool Handlers::answer(Command& c, std::vector<uint8_t> data) {
    c.parameters.assign(data.begin(), data.begin() + long(std::min<uint64_t>(data.size(), c.length)));
    return true;
}

Handlers::Extent Handlers::extent(const uint8_t* cdb) {
    switch (cdb[0] >> 5) {
    case 0: return {get24(cdb + 1) & 0x1fffff, cdb[4] ? cdb[4] : 256u};
    case 4: return {get64(cdb + 2), get32(cdb + 10)};
    case 5: return {get32(cdb + 2), get32(cdb + 6)};
    default: return {get32(cdb + 2), get16(cdb + 7)};
    }
}

bool Handlers::in_range(const Disk& d, Command& c, const Extent& e) {
    const uint64_t blocks = d.blocks();
    if (e.lba <= blocks && e.blocks <= blocks - e.lba) return true;
    return illegal(c, 0x21);
}

bool Handlers::submit(Disk& d, Command& c, void (*work)(Disk&, Command&)) {
    c.request = {};
    c.request.op = store::Op::work;
    c.request.owner = &c;
    // The work's address travels in `data`, which Op::work does not use.
    c.request.data = {reinterpret_cast<uint8_t*>(work), size_t(0)};
    c.request.work = [](store::Request& r) {
        auto& command = *static_cast<Command*>(r.owner);
        auto call = reinterpret_cast<void (*)(Disk&, Command&)>(r.data.data());
        call(static_cast<Disk&>(*command.lu), command);
        return 0;
    };
    c.request.done = [](store::Request& r) {
        auto& command = *static_cast<Command*>(r.owner);
        command.done(command);
    };
    c.engine->submit(d.medium().store, c.request);
    return false;
}

void fail_store(Command& c, int error, store::Op op) {
    using store::Op;
    if (c.status != Status::good) return;       // the first failure of a command counts
    switch (error) {
    case ENOSPC:
    case EDQUOT: return fail(c, SenseKey::data_protect, 0x27, 0x07);       // SPACE ALLOCATION FAILED WRITE PROTECT
    case EROFS:
    case EPERM: return fail(c, SenseKey::data_protect, 0x27, 0x00);
    case ENOMEM: return fail(c, SenseKey::aborted_command, 0x55, 0x03);    // INSUFFICIENT RESOURCES
    default: break;
    }
    if (op == Op::read) fail(c, SenseKey::medium_error, 0x11, 0x00);       // UNRECOVERED READ ERROR
    else fail(c, SenseKey::medium_error, 0x0c, 0x00);                      // WRITE ERROR
}

}  // namespace iscsi::scsi
