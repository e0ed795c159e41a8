#include "tests/support/fake_kernel.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace iscsi::test {

TempTree::TempTree() {
    char name[] = "/tmp/iscsi-unit.XXXXXX";
    root_ = ::mkdtemp(name);
}

TempTree::~TempTree() {
    ::nftw(root_.c_str(), [](const char* path, const struct stat*, int, FTW*) { return std::remove(path); }, 16, FTW_DEPTH | FTW_PHYS);
}

void TempTree::folder(const std::string& path) {
    for (size_t slash = 0; slash != path.npos;) {
        slash = path.find('/', slash + 1);
        ::mkdir((root_ + "/" + path.substr(0, slash)).c_str(), 0755);
    }
}

void TempTree::file(const std::string& path, std::string_view text) {
    if (size_t slash = path.rfind('/'); slash != path.npos) folder(path.substr(0, slash));
    Fd fd(::open((root_ + "/" + path).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    if (::write(fd.get(), text.data(), text.size()) != ssize_t(text.size())) std::abort();
}

void TempTree::link(const std::string& path, const std::string& to) {
    if (size_t slash = path.rfind('/'); slash != path.npos) folder(path.substr(0, slash));
    if (::symlink((root_ + "/" + to).c_str(), (root_ + "/" + path).c_str()) != 0) std::abort();
}

std::string TempTree::read(const std::string& path) const {
    Fd fd(::open((root_ + "/" + path).c_str(), O_RDONLY));
    char buffer[4096];
    ssize_t n = fd ? ::read(fd.get(), buffer, sizeof buffer) : -1;
    return n > 0 ? std::string(buffer, size_t(n)) : "";
}

}  // namespace iscsi::test
