// Writes JSON (RFC 8259) as it goes: no tree, commas and escapes done, two-space indentation so that people can read it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace iscsi {

// The text as a JSON string with its quotes; what is no UTF-8 is replaced by U+FFFD.
std::string json_string(std::string_view text);

class Json {
public:
    Json& object() { return open('{'); }
    Json& array() { return open('['); }
    Json& end();                            // closes the innermost object or array
    Json& key(std::string_view name);       // inside an object, before its value
    Json& value(std::string_view text) { return raw(json_string(text)); }
    Json& value(const char* text) { return value(std::string_view(text)); }
    Json& value(const std::string& text) { return value(std::string_view(text)); }
    Json& value(bool b) { return raw(b ? "true" : "false"); }
    Json& value(uint64_t n) { return raw(std::to_string(n)); }
    Json& value(int64_t n) { return raw(std::to_string(n)); }
    Json& value(uint32_t n) { return value(uint64_t(n)); }
    Json& value(double n);                  // three decimals
    Json& value(int n) { return value(int64_t(n)); }
    Json& null() { return raw("null"); }
    template <class T>
    Json& field(std::string_view name, const T& v) { key(name); return value(v); }

    // All that was written, with a newline. Everything must have been closed.
    std::string take();

private:
    Json& open(char bracket);
    Json& raw(std::string_view text);
    void separate();
    std::string out_, open_;                // the brackets that are open, innermost last
    bool first_ = true, after_key_ = false;
};

}  // namespace iscsi
