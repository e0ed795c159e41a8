// A directory that goes with the test, on a disk's file system or in memory.
#pragma once
#include <stdlib.h>
#include <unistd.h>

#include <string>

namespace iscsi {

class TempDir {
public:
    explicit TempDir(const char* parent = "/tmp") : path_(std::string(parent) + "/iscsi_test_XXXXXX") {
        if (!::mkdtemp(path_.data())) path_.clear();
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        if (!path_.empty()) (void)!::system(("rm -rf " + path_).c_str());
    }
    const std::string& path() const { return path_; }
    std::string operator/(const char* name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

}  // namespace iscsi
