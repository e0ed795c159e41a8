// Sense data and the life of a Command structure.
#include "core/scsi/command.h"

namespace iscsi::scsi {

void Command::reset() {
    nexus = nullptr;
    lun = 0;
    cdb_length = 16;
    attribute = TaskAttribute::simple;
    status = Status::good;
    sense = {};
    flow = Flow::none;
    medium_op = MediumOp::read;
    length = offset = 0;
    expected_out = expected_in = 0;
    fua = false;
    parameters.clear();
    lu.reset();
    row = nullptr;
    request = {};
    step = 0;
    context.reset();
}

void fail(Command& c, SenseKey key, uint8_t asc, uint8_t ascq) { fail(c, Sense{key, asc, ascq, {}, {}}); }

void fail(Command& c, Sense sense) {
    c.status = Status::check_condition;
    c.sense = std::move(sense);
}

std::vector<uint8_t> encode_sense(const Sense& s, bool descriptor_format) {
    std::vector<uint8_t> out;
    if (!descriptor_format) {
        // SPC-4 4.5.3. An INFORMATION that needs more than 32 bits is left out, with VALID 0.
        out.resize(18);
        out[0] = 0x70;
        out[2] = uint8_t(s.key);
        out[7] = 10;
        out[12] = s.asc;
        out[13] = s.ascq;
        if (s.information && *s.information <= 0xffffffff) {
            out[0] |= 0x80;
            put32(&out[3], uint32_t(*s.information));
        }
        if (s.sense_key_specific) {
            put24(&out[15], *s.sense_key_specific);
            out[15] |= 0x80;
        }
        return out;
    }
    // SPC-4 4.5.2: header, then an information and a sense key specific descriptor if there is such a thing.
    out.resize(8);
    out[0] = 0x72;
    out[1] = uint8_t(s.key);
    out[2] = s.asc;
    out[3] = s.ascq;
    if (s.information) {
        const size_t at = out.size();
        out.resize(at + 12);
        out[at + 1] = 0x0a;
        out[at + 2] = 0x80;
        put64(&out[at + 4], *s.information);
    }
    if (s.sense_key_specific) {
        const size_t at = out.size();
        out.resize(at + 8);
        out[at] = 0x02;
        out[at + 1] = 0x06;
        put24(&out[at + 4], *s.sense_key_specific);
        out[at + 4] |= 0x80;
    }
    out[7] = uint8_t(out.size() - 8);
    return out;
}

}  // namespace iscsi::scsi
