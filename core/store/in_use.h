// Who else uses a file or block device: mounted (itself or a partition), swap, part of a mapper or RAID device, behind a loop
// device, locked by another process, opened exclusively.
#pragma once
#include <optional>
#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace iscsi::store {

// What holds it, for a message ("/dev/vdb1 is mounted on /mnt"); nothing if it is free.
std::optional<std::string> holder_of(const std::string& path);

// Marks the file as ours for as long as the Fd lives, so that a second export of it is refused. EBUSY: somebody has.
Result<Fd> claim(const std::string& path);

}  // namespace iscsi::store
