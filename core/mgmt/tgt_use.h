// What is behind a path, before it is given to a daemon: is it there, does somebody use it, who does it say it is.
#pragma once
#include <map>
#include <string>

namespace iscsi::mgmt {

bool is_file_or_device(const std::string& path);

enum class Use { none, system, process };
// system: a block device that is mounted, swapped on or held by another device. process: somebody has it open.
Use use_of(const std::string& path);

// vendor_id, product_id, product_rev, scsi_sn, optimal_xfer_gran, optimal_xfer_len, lbppbe, la_lba of a SCSI disk, as it
// answers INQUIRY and READ CAPACITY(16) through SG_IO. Empty if it is none.
std::map<std::string, std::string> scsi_identity(const std::string& path);

}  // namespace iscsi::mgmt
