// What tgtd's control socket reads: a request's header and the text in it. Whatever decodes must encode and decode again
// to the same.
#include <cstdlib>

#include "core/mgmt/tgt_protocol.h"

using namespace iscsi;
using namespace iscsi::mgmt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Bytes in(data, size);
    (void)decode_tgt_answer(in);
    auto request = decode_tgt_request(in);
    if (!request) return 0;
    TgtText text = decode_tgt_text(*request);
    (void)encode_tgt_text(text, request->mode == TgtMode::portal);
    auto again = decode_tgt_request(as_bytes(encode(*request)));
    if (!again || again->text != request->text || again->tid != request->tid) std::abort();
    return 0;
}
