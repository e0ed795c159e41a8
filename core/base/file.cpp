#include "core/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "core/base/fd.h"

namespace iscsi {

Result<std::string> read_file(const std::string& path, size_t limit) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));   // a FIFO in its place must not hang us
    if (!fd) return Error{errno, "open", path};
    std::string text;
    char chunk[4096];
    for (;;) {
        ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Error{errno, "read", path};
        if (n == 0) return text;
        if (size_t(n) > limit - text.size()) return Error{EFBIG, "read", path};
        text.append(chunk, size_t(n));
    }
}

std::string read_attribute(const std::string& path) {
    auto text = read_file(path, 64 * 1024);
    if (!text) return {};
    while (!text->empty() && text->back() == '\n') text->pop_back();
    return std::move(*text);
}

Result<void> replace_file(const std::string& path, std::string_view text, unsigned mode) {
    std::string temporary = path;
    size_t name = path.rfind('/') + 1;            // npos + 1 is 0: no folder in the path
    temporary.insert(name, ".");
    temporary += ".XXXXXX";
    Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return Error{errno, "create", path};
    auto fail = [&](const char* what) {
        Error error{errno, what, path};
        ::unlink(temporary.c_str());
        return error;
    };
    while (!text.empty()) {
        ssize_t n = ::write(fd.get(), text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail("write");
        text.remove_prefix(size_t(n));
    }
    if (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0) return fail("write");
    if (::rename(temporary.c_str(), path.c_str()) != 0) return fail("replace");
    return {};
}

Result<void> make_folders(const std::string& path, unsigned mode) {
    if (is_folder(path)) return {};
    if (size_t slash = path.rfind('/'); slash != path.npos && slash > 0) TRY_VOID(make_folders(path.substr(0, slash), mode));
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return Error{errno, "make folder", path};
    return {};
}

std::vector<std::string> list_folder(const std::string& path) {
    std::vector<std::string> names;
    DIR* folder = ::opendir(path.c_str());
    if (!folder) return names;
    while (const dirent* entry = ::readdir(folder))
        if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) names.emplace_back(entry->d_name);
    ::closedir(folder);
    return names;
}

bool is_folder(const std::string& path) {
    struct stat st;
    return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

bool exists(const std::string& path) {
    struct stat st;
    return ::stat(path.c_str(), &st) == 0;
}

std::string link_name(const std::string& path) {
    char target[4096];
    ssize_t n = ::readlink(path.c_str(), target, sizeof target);
    if (n <= 0) return {};
    std::string_view text(target, size_t(n));
    return std::string(text.substr(text.rfind('/') + 1));
}

}  // namespace iscsi
