#include "core/base/wildcard.h"

#include <cctype>
#include <cstddef>

namespace iscsi {
namespace {

bool in_class(std::string_view name, unsigned char c) {
    struct Row {
        std::string_view name;
        int (*is)(int);
    };
    static constexpr Row rows[] = {{"alnum", ::isalnum}, {"alpha", ::isalpha}, {"blank", ::isblank}, {"cntrl", ::iscntrl},
                                   {"digit", ::isdigit}, {"graph", ::isgraph}, {"lower", ::islower}, {"print", ::isprint},
                                   {"punct", ::ispunct}, {"space", ::isspace}, {"upper", ::isupper}, {"xdigit", ::isxdigit}};
    for (const Row& row : rows)
        if (row.name == name) return row.is(c) != 0;
    return false;
}

// The bracket expression that begins `pattern`, its '[' gone. Ends behind the ']'; without one, '[' is a character as any other.
enum class Bracket { no, yes, none };
Bracket bracket(std::string_view& pattern, unsigned char c) {
    size_t at = 0;
    const bool negated = !pattern.empty() && (pattern[0] == '!' || pattern[0] == '^');
    if (negated) at = 1;
    bool found = false;
    const auto next = [&]() -> unsigned char {
        if (pattern[at] == '\\' && at + 1 < pattern.size()) at++;
        return static_cast<unsigned char>(pattern[at++]);
    };
    for (const size_t first = at; at < pattern.size() && (pattern[at] != ']' || at == first);) {
        if (pattern.substr(at, 2) == "[:") {
            if (const size_t end = pattern.find(":]", at + 2); end != pattern.npos) {
                found |= in_class(pattern.substr(at + 2, end - at - 2), c);
                at = end + 2;
                continue;
            }
        }
        const unsigned char from = next();
        unsigned char to = from;
        if (at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']') {
            at++;
            to = next();
        }
        found |= c >= from && c <= to;
    }
    if (at >= pattern.size()) return Bracket::none;
    pattern.remove_prefix(at + 1);
    return found != negated ? Bracket::yes : Bracket::no;
}

// One character against what begins `pattern`, which is not a '*'; on success that is taken off.
bool one(std::string_view& pattern, char c) {
    const char p = pattern[0];
    std::string_view rest = pattern.substr(1);
    if (p == '[') {
        switch (bracket(rest, static_cast<unsigned char>(c))) {
        case Bracket::no: return false;
        case Bracket::yes: pattern = rest; return true;
        case Bracket::none: break;
        }
    }
    if (p == '\\' && !rest.empty()) {
        if (rest[0] != c) return false;
        pattern = rest.substr(1);
        return true;
    }
    if (p != '?' && p != c) return false;
    pattern = rest;
    return true;
}

}  // namespace

bool wildcard_match(std::string_view pattern, std::string_view name) {
    if (!name.empty() && name[0] == '.' && (pattern.empty() || (pattern[0] != '.' && pattern.substr(0, 2) != "\\."))) return false;
    // Only the last '*' need ever take more: no recursion, and at most |pattern| * |name| steps.
    std::string_view after_star, retry;
    bool star = false;
    while (!name.empty()) {
        if (!pattern.empty() && pattern[0] == '*') {
            pattern.remove_prefix(1);
            after_star = pattern, retry = name, star = true;
        } else if (!pattern.empty() && one(pattern, name[0])) {
            name.remove_prefix(1);
        } else if (star) {
            retry.remove_prefix(1);
            pattern = after_star, name = retry;
        } else {
            return false;
        }
    }
    while (!pattern.empty() && pattern[0] == '*') pattern.remove_prefix(1);
    return pattern.empty();
}

}  // namespace iscsi
