// Small files: configuration, records, sysfs attributes. Whole-file reads with a limit, replacement by rename, folders.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace iscsi {

// The whole file, at most `limit` bytes (a longer one is an error).
Result<std::string> read_file(const std::string& path, size_t limit = 1 << 20);
// A sysfs attribute without its newline; "" if it cannot be read.
std::string read_attribute(const std::string& path);
// Writes a temporary beside it, fsync, rename: readers see the old text or the new one.
Result<void> replace_file(const std::string& path, std::string_view text, unsigned mode);
// The folder and its parents; those made get `mode`. Existing ones are left as they are.
Result<void> make_folders(const std::string& path, unsigned mode);
// Names in a folder without "." and "..", in the order the file system gives them; empty if there is no such folder.
std::vector<std::string> list_folder(const std::string& path);
bool is_folder(const std::string& path);
bool exists(const std::string& path);
// The last component of what a symbolic link leads to; "" if it is none.
std::string link_name(const std::string& path);

}  // namespace iscsi
