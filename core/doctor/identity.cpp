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
    if (!exists(path))
        return report.warn("initiator name")
            .found("%s is missing: iscsid makes one when it starts", path)
            .mend(ISCSI_MAKE_NAME, path);
    auto found = config::read_initiator_name(path);
    if (!found) {
        auto content = read_file(path, 1 << 16);
        if (!content && content.error().code == EACCES)
            return report.warn("initiator name")
                .found("%s may not be read by this user: logins here are under another name", path)
                .mend("run it as root");
        if (!content)
            return report.fail("initiator name")
                .found("%s", content.error().text().c_str())
                .mend(ISCSI_MAKE_NAME, path);
        if (content->find("GenerateName=yes") != std::string::npos)
            return report.warn("initiator name")
                .found("%s says GenerateName=yes: no name has been made yet", path)
                .mend("systemctl restart iscsid");
        return report.fail("initiator name")
            .found("%s has no line InitiatorName=iqn.YYYY-MM.DOMAIN:TEXT", path)
            .mend(ISCSI_MAKE_NAME, path);
    }
    const char* name = found->name.c_str();
    if (state.initiator_name.empty()) state.initiator_name = found->name;
    const size_t mark = report.mark();
    for (char c : found->name)
        if (c >= 'A' && c <= 'Z') {
            report.warn("initiator name")
                .found("%s has capitals: targets compare names in lower case (RFC 7143 4.2.7.2)", name)
                .mend("write it in lower case in %s", path);
            break;
        }
    // A machine gets its id when it is installed, and its initiator name after that: one that is older came with an image.
    struct stat file{}, machine{};
    if (::stat(path, &file) == 0 && ::stat(options.places.machine_id.c_str(), &machine) == 0 && file.st_mtime + 60 < machine.st_mtime)
        report.warn("initiator name")
            .found("%s is older than this machine (%s): a cloned image? Two hosts with one name end each other's sessions", name,
                   options.places.machine_id.c_str())
            .mend(ISCSI_MAKE_NAME "; systemctl restart iscsid", path);
    if (!report.worse_since(mark)) report.ok("initiator name").is("%s", name);
}

}  // namespace iscsi::doctor
