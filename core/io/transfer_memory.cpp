#include "core/io/transfer_memory.h"

#include <sys/mman.h>

#include <new>

namespace iscsi::io {

std::shared_ptr<TransferMemory> TransferMemory::create() {
    void* p = ::mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    return std::shared_ptr<TransferMemory>(new TransferMemory(static_cast<uint8_t*>(p)));
}

TransferMemory::~TransferMemory() { ::munmap(base_, pages * page); }

// Next fit: what was given back last is not the first to be taken again, but its cache lines are gone by then anyway.
size_t TransferMemory::find(size_t count) {
    for (size_t start : {next_, size_t(0)}) {
        for (size_t run = 0, at = start; at < pages; at++) {
            run = used_[at] ? 0 : run + 1;
            if (run == count) return at + 1 - count;
        }
    }
    return pages;
}

std::shared_ptr<MutableBytes> TransferMemory::take(const std::shared_ptr<TransferMemory>& memory, size_t size) {
    const size_t count = (size + page - 1) / page;
    if (const size_t first = memory && count <= pages ? memory->find(count) : pages; first < pages) {
        for (size_t i = first; i < first + count; i++) memory->used_.set(i);
        memory->next_ = (first + count) % pages;
        return {new MutableBytes(memory->base_ + first * page, size), [memory, first, count](MutableBytes* bytes) {
                    for (size_t i = first; i < first + count; i++) memory->used_.reset(i);
                    delete bytes;
                }};
    }
    auto* own = static_cast<uint8_t*>(::operator new(size, std::align_val_t(page)));
    return {new MutableBytes(own, size), [own](MutableBytes* bytes) {
                ::operator delete(own, std::align_val_t(page));
                delete bytes;
            }};
}

}  // namespace iscsi::io
