// Records of the database: node, iface and discovery. A record is an ordered list of values, one per key of its kind; keys
// and their defaults are the rows of record_keys.h. Reading is lenient (a bad line is named with file and line and skipped),
// writing is byte for byte what open-iscsi 2.1.8 writes, and never a key of our own.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/config/record_keys.h"

namespace iscsi::config {

enum class Key : uint8_t {
#define ROW(id, key, type, fallback, words, flags) id,
    ISCSI_NODE_HEAD_KEYS(ROW) ISCSI_IFACE_KEYS(ROW) ISCSI_NODE_KEYS(ROW)
    ISCSI_DISCOVERY_HEAD_KEYS(ROW) ISCSI_SENDTARGETS_AUTH_KEYS(ROW) ISCSI_SENDTARGETS_KEYS(ROW) ISCSI_ISNS_KEYS(ROW)
#undef ROW
    count_
};

enum class Type : uint8_t { text, number, word, algs };
namespace flag { enum : uint8_t { fixed = 1, secret = 2, iface = 4 }; }

struct Field {
    const char* key;            // "node.session.cmds_max"
    Type type;
    const char* fallback;       // the built-in default, "" if unset
    const char* words;          // of a word: each ends in NUL, the list in an empty one
    uint8_t flags;              // flag::…
};
const Field& field(Key);
std::optional<Key> find_key(std::string_view name);

// What kind of record; decides keys and order.
enum class Kind : uint8_t { node, iface, send_targets, isns };
std::span<const Key> keys_of(Kind);

// A line of a file that was not taken.
struct Complaint {
    std::string file;
    unsigned line = 0;
    std::string text;           // "unknown key future.key"
    std::string message() const;          // "FILE line 5: unknown key future.key"
};

class Record {
public:
    explicit Record(Kind kind);           // every key at its built-in default
    Record(const Record&) = default;
    Record(Record&&) noexcept = default;
    Record& operator=(const Record&) = default;
    Record& operator=(Record&&) noexcept = default;
    ~Record();                            // secrets are wiped

    Kind kind() const { return kind_; }
    bool has(Key) const;                  // whether records of this kind have the key
    const std::string& text(Key) const;   // "" if unset or not of this kind
    int32_t number(Key) const;
    bool yes(Key key) const { return text(key) == "Yes"; }

    enum class Set { ok, unknown_key, bad_value };
    // Checks the value by the row's type. A number that is none is bad_value; an unknown CHAP algorithm is dropped from
    // its list, and the list is bad_value if none is left.
    Set set(Key, std::string_view value);
    Set set(std::string_view key, std::string_view value);
    Set set(Key key, int64_t value);

    bool operator==(const Record&) const = default;

    // The file's text: BEGIN RECORD … END RECORD; unset strings are left out.
    std::string to_file() const;
    // As shown: unset strings as <empty>, secrets as ******** unless `show_secrets`.
    std::string to_screen(bool show_secrets) const;
    // {"node.name": "…", …}; numbers as numbers, unset strings as null, secrets as on screen.
    std::string to_json(bool show_secrets) const;

    // Takes over `key = value` lines on top of what the record holds. `origin` names the text in complaints.
    void read(std::string_view text, std::string_view origin, std::vector<Complaint>& complaints);

private:
    size_t place(Key) const;
    Kind kind_;
    std::vector<std::string> values_;     // as keys_of(kind_)
};

// The version in BEGIN RECORD: the format's, not ours.
inline constexpr std::string_view record_version = "2.1.8";

// Names from the network before they become paths or lines. RFC 7143 §4.2.7: iqn. eui. naa., 1 to 223 bytes; letters, digits,
// '-' '.' ':' and, as targets in the field have it, '_' and UTF-8 above 0x7f. No '/', no blank, no control character. The digits
// behind eui. and naa. are not counted: names that work with open-iscsi stay.
bool valid_iscsi_name(std::string_view name);
// As above with any beginning: targets named "disk1" exist. Safe as a file name and as part of a line.
bool safe_name(std::string_view name);

}  // namespace iscsi::config
