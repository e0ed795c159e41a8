// A CHAP secret: wipes itself, does not print. Comparison of digests is auth/'s.
#pragma once
#include <cstring>
#include <string>
#include <string_view>

namespace iscsi {

class Secret {
public:
    Secret() = default;
    explicit Secret(std::string_view text) : text_(text) {}
    Secret(const Secret&) = default;
    Secret& operator=(const Secret& other) {
        if (this != &other) { wipe(); text_ = other.text_; }
        return *this;
    }
    ~Secret() { wipe(); }
    std::string_view reveal() const { return text_; }      // for hashing and for files of mode 0600 only
    bool empty() const { return text_.empty(); }

private:
    void wipe() {
        if (!text_.empty()) ::explicit_bzero(text_.data(), text_.size());
    }
    std::string text_;
};

}  // namespace iscsi
