// Who we are: initiatorname.iscsi.
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/config/iscsid_conf.h"
#include "core/doctor/doctor.h"

namespace iscsi::doctor {

void check_identity(const Options& options, State& state, Report& report) {
    const char* path = options.places.initiator_name.c_str();
#define ISCSI_MAKE_NAME "echo \"InitiatorName=$(iscsi-iname)\" > %s"
    state.initiator_name = options.initiator_name;
    if (!exists(path)) return report.warn("initiator name\n%s is missing: iscsid makes one when it starts\n" ISCSI_MAKE_NAME, path, path);
    auto found = config::read_initiator_name(path);
    if (!found) {
        auto content = read_file(path, 1 << 16);
        if (!content && content.error().code == EACCES) return report.warn("initiator name\n%s may not be read by this user: logins here are under another name\nrun it as root", path);
        if (!content) return report.fail("initiator name\n%s\n" ISCSI_MAKE_NAME, content.error().text().c_str(), path);
        if (content->find("GenerateName=yes") != std::string::npos)
            return report.warn("initiator name\n%s says GenerateName=yes: no name has been made yet\nsystemctl restart iscsid", path);
        return report.fail("initiator name\n%s has no line InitiatorName=iqn.YYYY-MM.DOMAIN:TEXT\n" ISCSI_MAKE_NAME, path, path);
    }
    const char* name = found->name.c_str();
    if (state.initiator_name.empty()) state.initiator_name = found->name;
    const size_t mark = report.mark();
    for (char c : found->name)
        if (c >= 'A' && c <= 'Z') {
            report.warn("initiator name\n%s has capitals: targets compare names in lower case (RFC 7143 4.2.7.2)\nwrite it in lower case in %s", name, path);
            break;
        }
    // A machine gets its id when it is installed, and its initiator name after that: one that is older came with an image.
    struct stat file{}, machine{};
    if (::stat(path, &file) == 0 && ::stat(options.places.machine_id.c_str(), &machine) == 0 && file.st_mtime + 60 < machine.st_mtime)
        report.warn("initiator name\n%s is older than this machine (%s): a cloned image? Two hosts with one name end each other's sessions\n" ISCSI_MAKE_NAME
                    "; systemctl restart iscsid", name, options.places.machine_id.c_str(), path);
    if (!report.worse_since(mark)) report.ok("initiator name\n%s", name);
}

}  // namespace iscsi::doctor
