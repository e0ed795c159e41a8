// DNS messages (RFC 1035 §4): one question out, the addresses of one answer in. Bytes only; resolve.cpp does the asking.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/io/address.h"

namespace iscsi::io::dns {

enum class Type : uint16_t { a = 1, cname = 5, aaaa = 28 };

// The query for `name`, recursion desired. Nothing if the name is no domain name (labels of 1..63, 253 in all).
std::optional<std::vector<uint8_t>> query(uint16_t id, std::string_view name, Type type);

struct Answer {
    enum class Kind { foreign, malformed, no_such_name, failure, addresses };
    Kind kind = Kind::foreign;          // foreign: not an answer to this question; wait for another datagram
    std::vector<Address> addresses;     // of the question's type; may be empty (NODATA)
    bool truncated = false;             // TC: what is there is usable
};

// `message` as received, as the answer to query(id, name, type). At most `limit` addresses are taken.
Answer answer(Bytes message, uint16_t id, std::string_view name, Type type, size_t limit = 16);

}  // namespace iscsi::io::dns
