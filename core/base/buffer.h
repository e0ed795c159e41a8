// Memory for bytes that are about to be overwritten: not cleared, so a large one costs no time and no resident memory until
// it is used.
#pragma once
#include <memory>

#include "core/base/bytes.h"

namespace iscsi {

class Buffer {
public:
    Buffer() = default;
    explicit Buffer(size_t size) : bytes_(std::make_unique_for_overwrite<uint8_t[]>(size)), size_(size) {}
    uint8_t* data() { return bytes_.get(); }
    const uint8_t* data() const { return bytes_.get(); }
    size_t size() const { return size_; }
    MutableBytes span() { return {bytes_.get(), size_}; }
    explicit operator bool() const { return bytes_ != nullptr; }

private:
    std::unique_ptr<uint8_t[]> bytes_;
    size_t size_ = 0;
};

}  // namespace iscsi
