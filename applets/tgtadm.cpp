// tgtadm: checks the command line as tgt's does (same order, same lines, same exit codes), sends one request, prints the
// answer.
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "applets/applet.h"
#include "applets/cli.h"
#include "core/mgmt/tgt_client.h"

namespace iscsi::applets {
namespace {

using cli::Arg;
using mgmt::TgtMode;
using mgmt::TgtOp;

constexpr cli::Option options[] = {
    {'m', "mode", Arg::required, "MODE", "system (sys), target (tgt), logicalunit (lu), portal (pt), session (sess), connection "
                                         "(conn), account or lld"},
    {'o', "op", Arg::required, "OP", "new, delete, show, bind, unbind, update, stat, start or stop"},
    {'L', "lld", Arg::required, "DRIVER", "driver, iscsi if not given"},
    {'t', "tid", Arg::required, "TID", "number of the target"},
    {'s', "sid", Arg::required, "SID", "number of the session"},
    {'c', "cid", Arg::required, "CID", "number of the connection"},
    {'l', "lun", Arg::required, "LUN", "number of the logical unit"},
    {'n', "name", Arg::required, "NAME", "what to update"},
    {'v', "value", Arg::required, "VALUE", "to which value"},
    {'b', "backing-store", Arg::required, "PATH", "file or block device behind the logical unit"},
    {'E', "bstype", Arg::required, "TYPE", "how it is accessed: rdwr (default), aio, null"},
    {'S', "bsopts", Arg::required, "TEXT", "options of that type"},
    {'f', "bsoflags", Arg::required, "FLAGS", "sync, direct or sync:direct"},
    {'y', "blocksize", Arg::required, "BYTES", "logical block size, a power of two (512)"},
    {'Y', "device-type", Arg::required, "TYPE", "disk (default), cd, tape, changer, osd or pt"},
    {'T', "targetname", Arg::required, "NAME", "name of the new target"},
    {'I', "initiator-address", Arg::required, "ADDRESS", "initiators by address: ALL, an address, or ADDRESS/BITS"},
    {'Q', "initiator-name", Arg::required, "NAME", "an initiator by name"},
    {'u', "user", Arg::required, "USER", "name of the account"},
    {'p', "password", Arg::required, "SECRET", "its CHAP secret"},
    {'O', "outgoing", Arg::none, nullptr, "the account by which the target proves itself"},
    {'F', "force", Arg::none, nullptr, "delete although it is in use"},
    {'P', "params", Arg::required, "LIST", "key=value[,key=value]... of a logical unit; portal=ADDRESS[:PORT] of a portal"},
    {'H', "host", Arg::required, "N", "host number (drivers of host adapters)"},
    {'B', "bus", Arg::required, "BUS,ADDRESS", "bus address (drivers of host adapters)"},
    {'C', "control-port", Arg::required, "N", "which tgtd: the number in its socket's name (0)"},
    {0, "wait", Arg::required, "SECONDS", "wait so long for a tgtd that is not there yet"},
    {0, "json", Arg::none, nullptr, "show and stat: answer in JSON"},
    {'d', "debug", Arg::none, nullptr, "accepted, without effect"},
    {'V', "version", Arg::none, nullptr, "print the version of tgt that this matches, and its own"},
    {'h', "help", Arg::none, nullptr, "show this"},
};

constexpr cli::Interface interface = {
    "tgtadm", "configure the target daemon tgtd", "tgtadm --mode MODE --op OP [option]...", options,
    "tgtadm --mode MODE --help shows the options of a mode. Modes and what they do:\n"
    "  target       new (-t -T), delete (-t [-F]), show ([-t]), update (-t -n -v), stat (-t),\n"
    "               bind and unbind (-t, -I or -Q)\n"
    "  logicalunit  new (-t -l -b [-E -S -f -y -Y]), delete, update (-t -l -P), stat\n"
    "  account      new (-u -p), delete (-u), show, bind and unbind (-u [-t] [-O]; without -t for\n"
    "               discovery sessions)\n"
    "  portal       new, delete (-P portal=...), show\n"
    "  connection   show (-t), delete and stat (-t -s -c);  session: stat (-s)\n"
    "  system       show, stat, update (-n State|debug|iSNS... -v), delete (ends tgtd)\n"
    "  lld          show, start, stop\n"
    "Exit code: 0; 22 the request was refused; 1 unknown mode or operation; 107 no tgtd.",
    "  tgtadm --lld iscsi --mode target --op new --tid 1 --targetname iqn.2001-04.com.example:disk1\n"
    "  tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 --backing-store /srv/disk.img\n"
    "  tgtadm --lld iscsi --mode target --op bind --tid 1 --initiator-address 192.0.2.0/24\n"
    "  tgtadm --lld iscsi --mode target --op show",
    8};

constexpr const char* op_names[] = {"new", "delete", "show", "bind", "unbind", "update", "stat", "start", "stop"};
constexpr const char* mode_names[] = {"system", "target", "logicalunit", "portal", "lld", "session", "connection", "account"};
struct Alias { const char* name; TgtMode mode; };
constexpr Alias mode_aliases[] = {{"sys", TgtMode::system}, {"tgt", TgtMode::target}, {"lu", TgtMode::logicalunit},
                                  {"pt", TgtMode::portal}, {"sess", TgtMode::session}, {"conn", TgtMode::connection}};
struct DeviceName { const char* name; mgmt::TgtDevice device; };
constexpr DeviceName device_names[] = {
    {"disk", mgmt::TgtDevice::disk}, {"tape", mgmt::TgtDevice::tape}, {"ssc", mgmt::TgtDevice::tape},
    {"cd", mgmt::TgtDevice::cd}, {"changer", mgmt::TgtDevice::changer}, {"osd", mgmt::TgtDevice::osd},
    {"pt", mgmt::TgtDevice::passthrough}};

// Which options go with an operation of a mode, by letter; session and connection are not checked.
struct Rule {
    TgtMode mode;
    TgtOp op;
    const char* letters;        // nullptr: any
};
constexpr Rule rules[] = {
    {TgtMode::system, TgtOp::remove, nullptr}, {TgtMode::system, TgtOp::show, nullptr},
    {TgtMode::system, TgtOp::stat, nullptr}, {TgtMode::system, TgtOp::update, "LmonvC"},
    {TgtMode::target, TgtOp::create, "LmotTC"}, {TgtMode::target, TgtOp::remove, "LmotCF"},
    {TgtMode::target, TgtOp::show, "LmotC"}, {TgtMode::target, TgtOp::update, "LmotnvC"},
    {TgtMode::target, TgtOp::stat, "LmotC"}, {TgtMode::target, TgtOp::bind, "LmotIQBHC"},
    {TgtMode::target, TgtOp::unbind, "LmotIQBHC"},
    {TgtMode::logicalunit, TgtOp::create, "LmofytlbEYCS"}, {TgtMode::logicalunit, TgtOp::remove, "LmotlC"},
    {TgtMode::logicalunit, TgtOp::update, "LmofytlPC"}, {TgtMode::logicalunit, TgtOp::stat, "LmotlC"},
    {TgtMode::account, TgtOp::create, "LmoupfC"}, {TgtMode::account, TgtOp::remove, "LmouC"},
    {TgtMode::account, TgtOp::show, "LmoC"}, {TgtMode::account, TgtOp::bind, "LmotuOC"},
    {TgtMode::account, TgtOp::unbind, "LmotuOC"},
    {TgtMode::portal, TgtOp::create, "LmoCP"}, {TgtMode::portal, TgtOp::remove, "LmoCP"},
    {TgtMode::portal, TgtOp::show, "LmoC"},
    {TgtMode::lld, TgtOp::show, "LmoC"}, {TgtMode::lld, TgtOp::start, "LmoC"}, {TgtMode::lld, TgtOp::stop, "LmoC"},
};

int refuse(const std::string& line, int code = EINVAL) {
    std::fprintf(stderr, "tgtadm: %s\n", line.c_str());
    return code;
}
int try_help() {
    std::fputs("Try `tgtadm --help' for more information.\n", stderr);
    return EINVAL;
}

// strtoull with base 0; what follows the digits is ignored, as tgt does.
bool read_number(char letter, const std::string& text, uint64_t max, uint64_t& out) {
    char* end;
    errno = 0;
    unsigned long long v = std::strtoull(text.c_str(), &end, 0);
    const char* why = nullptr;
    if (end == text.c_str() || (v == ULLONG_MAX && errno == 0)) why = "invalid";
    else if (errno == ERANGE || v > max) why = "out of range";
    if (why) std::fprintf(stderr, "-%c argument value '%s' %s\n", letter, text.c_str(), why);
    out = v;
    return !why;
}

struct CommandLine {
    mgmt::TgtRequest request;
    mgmt::TgtText text;
    bool has_op = false, has_mode = false, has_host = false, has_bus = false, has_user = false;
    int control_port = 0;
    uint64_t wait = 0;
    std::string letters;        // as given; options without a letter are allowed everywhere
};

int show_help(const CommandLine& c) {
    cli::Mode mode{"", "moChV", "--mode "};
    if (c.has_mode) {
        mode.name = mode_names[size_t(c.request.mode)];
        mode.letters += "t";
        for (const Rule& r : rules)
            if (r.mode == c.request.mode && r.letters) mode.letters += r.letters;
        if (c.request.mode == TgtMode::session || c.request.mode == TgtMode::connection) mode.letters += "sc";
    }
    std::fputs(cli::help(interface, &mode).c_str(), stdout);
    return 0;
}

// One option. Negative: go on; else the exit code.
int take(CommandLine& c, const cli::Item& item) {
    const char letter = item.option->short_name;
    const std::string& v = item.value;
    if (letter) c.letters += letter;
    uint64_t number = 0;
    auto numeric = [&](uint64_t max) { return read_number(letter, v, max, number); };
    switch (letter) {
    case 'm':
        c.has_mode = false;
        for (size_t i = 0; i < std::size(mode_names); i++)
            if (v == mode_names[i]) c.request.mode = TgtMode(i), c.has_mode = true;
        for (const Alias& a : mode_aliases)
            if (v == a.name) c.request.mode = a.mode, c.has_mode = true;
        if (!c.has_mode) return refuse("unknown mode: " + v, 1);
        break;
    case 'o':
        c.has_op = false;
        for (size_t i = 0; i < std::size(op_names); i++)
            if (v == op_names[i]) c.request.op = TgtOp(i), c.has_op = true;
        if (!c.has_op) return refuse("unknown operation: " + v, 1);
        break;
    case 'Y': {
        bool known = false;
        for (const DeviceName& d : device_names)
            if (v == d.name) c.request.device = d.device, known = true;
        if (!known) return refuse("unknown target type: " + v);
        break;
    }
    case 't': if (!numeric(INT_MAX)) return try_help(); c.request.tid = int32_t(number); break;
    case 's': if (!numeric(ULLONG_MAX)) return try_help(); c.request.sid = number; break;
    case 'c': if (!numeric(UINT_MAX)) return try_help(); c.request.cid = uint32_t(number); break;
    case 'l': if (!numeric(ULLONG_MAX)) return try_help(); c.request.lun = number; break;
    case 'H': if (!numeric(INT_MAX)) return try_help(); c.request.host = uint32_t(number); c.has_host = true; break;
    case 'C': if (!numeric(SHRT_MAX)) return try_help(); c.control_port = int(number); break;
    case 'B': {
        size_t comma = v.find(',');
        if (comma != std::string::npos) return refuse("can't find bus: " + v.substr(0, comma));
        c.has_bus = true;
        c.request.host = uint32_t(-EINVAL);
        break;
    }
    case 'L': c.request.lld = v; break;
    case 'n': c.text.name = v; break;
    case 'v': c.text.value = v; break;
    case 'b': c.text.path = v; break;
    case 'E': c.text.bstype = v; break;
    case 'S': c.text.bsopts = v; break;
    case 'f': c.text.bsoflags = v; break;
    case 'y': c.text.blocksize = v; break;
    case 'T': c.text.targetname = v; break;
    case 'I': c.text.initiator_address = v; break;
    case 'Q': c.text.initiator_name = v; break;
    case 'u': c.text.user = v; break;
    case 'p': c.text.password = v; break;
    case 'P': c.text.params = v; break;
    case 'O': c.request.outgoing = true; break;
    case 'F': c.request.force = true; break;
    case 'V': std::printf("%s (iscsi %s)\n", mgmt::tgt_version, ISCSI_VERSION); return 0;
    case 'h': return show_help(c);
    default: break;
    }
    if (!letter && !std::strcmp(item.option->long_name, "json")) c.request.json = true;
    if (!letter && !std::strcmp(item.option->long_name, "wait")) {
        char* end;
        c.wait = std::strtoul(v.c_str(), &end, 10);
        if (v.empty() || *end || v[0] == '-' || c.wait > 86400) return refuse("--wait takes seconds, at most 86400: '" + v + "'");
    }
    return -1;
}

// What tgt checks before the options: tid and lun of the mode.
int check_object(const CommandLine& c) {
    const auto& r = c.request;
    if (r.mode == TgtMode::target && r.tid <= 0 && r.op != TgtOp::show)
        return refuse(r.tid == 0 ? "'tid' cannot be 0" : "'tid' option is necessary");
    if (r.mode == TgtMode::logicalunit) {
        if (r.tid < 0) return refuse("'tid' option is necessary");
        if (r.tid == 0) return refuse("'tid' must not be 0");
        if (r.lun == mgmt::tgt_no_lun) return refuse("'lun' option is necessary");
    }
    return -1;
}

int check_options(const CommandLine& c) {
    const auto& r = c.request;
    if (r.mode == TgtMode::session || r.mode == TgtMode::connection) return -1;
    const std::string mode = mode_names[size_t(r.mode)];
    const Rule* rule = nullptr;
    for (const Rule& row : rules)
        if (row.mode == r.mode && row.op == r.op) rule = &row;
    if (!rule && r.mode == TgtMode::lld) return refuse("option " + std::to_string(int(r.op)) + " not supported in lld mode");
    if (!rule) return refuse(std::string("operation ") + op_names[size_t(r.op)] + " not supported in " + mode + " mode");
    for (char letter : c.letters) {
        if (!rule->letters || letter == 'd' || std::strchr(rule->letters, letter)) continue;
        bool other_words = (r.mode == TgtMode::logicalunit && r.op == TgtOp::update) || (r.mode == TgtMode::portal && r.op == TgtOp::show);
        const std::string option = std::string("option '-") + letter + "' ";
        return refuse(other_words ? option + "not supported in " + mode + " mode" : mode + " mode: " + option + "is not allowed/supported");
    }
    return -1;
}

int check_values(const CommandLine& c) {
    const auto& r = c.request;
    const auto& t = c.text;
    const bool setting = r.op == TgtOp::update && (r.mode == TgtMode::system || r.mode == TgtMode::target);
    const bool binding = r.op == TgtOp::bind || r.op == TgtOp::unbind;
    if (setting && (!t.name || !t.value)) return refuse("update operation requires 'name' and 'value' options");
    if (r.mode == TgtMode::target && r.op == TgtOp::create && !t.targetname)
        return refuse("creating new target requires a name, use --targetname");
    if (r.mode == TgtMode::target && binding && !t.initiator_address && !t.initiator_name && !c.has_host && !c.has_bus)
        return refuse(std::string(op_names[size_t(r.op)]) + " operation requires initiator-address, initiator-nameor bus");
    if (r.mode == TgtMode::account) {
        if (r.op == TgtOp::create && (!t.user || !t.password)) return refuse("'user' and 'password' options are required");
        if ((binding || r.op == TgtOp::remove) && !t.user) return refuse("'user' option is necessary");
    }
    if (r.mode == TgtMode::logicalunit && r.op == TgtOp::create && !t.path && r.device != mgmt::TgtDevice::disk &&
        r.device != mgmt::TgtDevice::tape && r.device != mgmt::TgtDevice::cd)
        return refuse("'backing-store' option is necessary");
    if (r.mode == TgtMode::portal && r.op != TgtOp::show && !t.params)
        return refuse("you must specify --param portal=<portal>");
    if (r.json && r.op != TgtOp::show && r.op != TgtOp::stat) return refuse("--json goes with show and stat");
    return -1;
}

int send(CommandLine& c) {
    c.request.text = mgmt::encode_tgt_text(c.text, c.request.mode == TgtMode::portal);
    auto answer = mgmt::tgt_call(c.control_port, c.request, unsigned(c.wait));
    if (!answer) return refuse(answer.error().what, answer.error().code);
    if (answer->code != mgmt::TgtCode::ok) return refuse(mgmt::tgt_code_text(answer->code));
    if (c.request.json && !answer->text.starts_with('{') && !answer->text.starts_with('['))
        return refuse("this tgtd does not answer in JSON");
    std::fwrite(answer->text.data(), 1, answer->text.size(), stdout);
    if (std::fflush(stdout) != 0) return refuse(std::string("write: ") + std::strerror(errno), 1);
    if (c.request.mode == TgtMode::system && c.request.op == TgtOp::remove) mgmt::tgt_await_end(c.control_port);
    return 0;
}

// Takes a secret off the command line that ps shows.
void hide(const std::string& secret, int argc, char** argv) {
    for (int i = 1; i < argc; i++)
        if (size_t n = std::strlen(argv[i]); !secret.empty() && n >= secret.size() && secret == argv[i] + (n - secret.size()))
            std::memset(argv[i] + (n - secret.size()), 'x', secret.size());
}

}  // namespace

int tgtadm_main(int argc, char** argv) {
    const cli::Parsed line = cli::parse(interface, argc, argv);
    for (const std::string& secret : line.all("password")) hide(secret, argc, argv);
    CommandLine c;
    size_t dummies = 0;         // tgt's -F and -O want an argument that means nothing: one word each is let pass
    for (const cli::Item& item : line.items) {
        if (int code = take(c, item); code >= 0) return code;
        dummies += item.option->short_name == 'F' || item.option->short_name == 'O';
    }
    if (line.error) {
        refuse(*line.error);
        return try_help();
    }
    if (line.words.size() > dummies) {
        refuse("unrecognized option '" + line.words[0] + "'");
        return try_help();
    }
    if (!c.has_op) return refuse("specify the operation type");
    if (!c.has_mode) return refuse("specify the mode");
    if (int code = check_object(c); code >= 0) return code;
    if (int code = check_options(c); code >= 0) return code;
    if (int code = check_values(c); code >= 0) return code;
    return send(c);
}

}  // namespace iscsi::applets
