// The record database: readable, private, consistent.
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/config/iscsid_conf.h"
#include "core/doctor/doctor.h"

namespace iscsi::doctor {
namespace {

using config::Key;
using config::Record;

// "password = x", "incominguser alice x" with something after the key.
bool holds_secret(std::string_view content, std::string_view key) {
    for (size_t at = 0; (at = content.find(key, at)) != std::string_view::npos; at++) {
        const size_t start = content.rfind('\n', at) + 1;              // npos + 1 is 0
        const size_t comment = content.substr(start, at - start).find('#');
        const size_t end = std::min(content.find('\n', at), content.size());
        const std::string_view after = content.substr(at + key.size(), end - at - key.size());
        if (comment == std::string_view::npos && after.find_first_not_of(" \t=") != std::string_view::npos) return true;
    }
    return false;
}

void check_mode(const std::string& path, const struct stat& info, bool secret, Report& report) {
    if (secret && (info.st_mode & 077))
        report.fail("file mode")
            .found("%s holds a secret and is open to others (%03o)", path.c_str(), unsigned(info.st_mode & 0777))
            .mend("chmod 600 %s", path.c_str());
}

void check_file(const std::string& path, const struct stat& info, config::Kind kind, Report& report) {
    auto content = read_file(path, 1 << 20);
    if (!content)
        return report.fail("records")
            .found("%s", content.error().text().c_str())
            .mend("rm %s, and discover again", path.c_str());
    Record record(kind);
    std::vector<config::Complaint> complaints;
    record.read(*content, path, complaints);
    for (const config::Complaint& c : complaints)
        report.warn("records")
            .found("%s", c.message().c_str())
            .mend("mend the line, or rm %s and discover again", path.c_str());
    const Key name = kind == config::Kind::node ? Key::node_name : Key::st_address;
    if (record.text(name).empty())
        report.fail("records")
            .found("%s does not say %s: it is left out", path.c_str(), config::field(name).key)
            .mend("rm %s, and discover again", path.c_str());
    check_mode(path, info, holds_secret(*content, "password"), report);
}

// Every record file below a folder; links are followed by nobody.
void walk(const std::string& folder, config::Kind kind, unsigned depth, size_t& files, Report& report) {
    for (const std::string& entry : list_folder(folder)) {
        const std::string path = folder + "/" + entry;
        struct stat info{};
        if (::lstat(path.c_str(), &info) != 0) continue;
        if (S_ISLNK(info.st_mode) && ::stat(path.c_str(), &info) != 0 && errno == ENOENT)
            report.warn("records")
                .found("%s leads nowhere: its node record is gone", path.c_str())
                .mend("rm %s", path.c_str());
        else if (S_ISDIR(info.st_mode) && depth > 0 && link_name(path).empty()) walk(path, kind, depth - 1, files, report);
        else if (S_ISREG(info.st_mode)) files++, check_file(path, info, kind, report);
    }
}

void check_chap(const Record& node, const char* target, const char* portal, Report& report) {
    const std::string &user = node.text(Key::username), &secret = node.text(Key::password);
    const std::string &user_in = node.text(Key::username_in), &secret_in = node.text(Key::password_in);
    auto set = [&](const char* keys) { return text("iscsiadm -m node -T %s -p %s -o update -n node.session.auth.%s", target, portal, keys); };
    auto say = [&](Level level, const char* finding) {
        report.say(level, "CHAP of %s at %s", target, portal)
            .found("%s", finding)
            .mend("%s", set("username -v USER (or .password, .username_in, .password_in, .authmethod)").c_str());
    };
    if (node.text(Key::authmethod) != "CHAP") {
        if (!user.empty()) say(Level::warn, "there is a username, but authmethod is None: open-iscsi would not use it");
    } else if (user.empty() || secret.empty()) {
        say(Level::fail, user.empty() ? "authmethod is CHAP, but there is no username" : "authmethod is CHAP, but there is no password");
    }
    if (user_in.empty() != secret_in.empty())
        say(Level::fail, user_in.empty() ? "mutual: there is a password_in, but no username_in"
                                         : "mutual: there is a username_in, but no password_in");
    if (!secret.empty() && secret == secret_in) say(Level::fail, "the same secret in both directions: targets refuse it (RFC 7143 9.2.1)");
    // RFC 7143 §9.2.1: at least 96 bits; Windows and many arrays take no more than 16 bytes.
    if (!secret.empty() && (secret.size() < 12 || secret.size() > 16))
        report.warn("CHAP of %s at %s", target, portal)
            .found("the secret has %zu bytes; RFC 7143 wants 12 or more, and some implementations take at most 16", secret.size())
            .mend("%s", set("password -v SECRET (on the target, too)").c_str());
}

}  // namespace

void check_records(const Options& options, State& state, Report& report) {
    const Places& at = options.places;
    const size_t mark = report.mark();
    size_t files = 0, others = 0;
    if (::access((at.state + "/nodes").c_str(), R_OK | X_OK) != 0 && errno == EACCES)
        report.warn("records")
            .found("%s/nodes may not be read by this user", at.state.c_str())
            .mend("run it as root");
    walk(at.state + "/nodes", config::Kind::node, 3, files, report);
    size_t links = 0;
    for (const std::string& folder : list_folder(at.state + "/send_targets")) {
        const std::string path = at.state + "/send_targets/" + folder;
        struct stat info{};
        if (::stat((path + "/st_config").c_str(), &info) == 0) others++, check_file(path + "/st_config", info, config::Kind::send_targets, report);
        for (const std::string& link : list_folder(path))
            if (!link_name(path + "/" + link).empty() && !exists(path + "/" + link) && ++links == 1)
                report.warn("records")
                    .found("%s/%s leads nowhere: its node record is gone", path.c_str(), link.c_str())
                    .mend("rm '%s/%s'", path.c_str(), link.c_str());
    }
    for (const std::string& path : {at.iscsid_conf, at.targets_conf}) {
        struct stat info{};
        if (::stat(path.c_str(), &info) != 0) continue;
        auto content = read_file(path, 4 << 20);
        if (!content) report.warn("configuration").found("%s", content.error().text().c_str()).mend("run it as root");
        else if (path == at.iscsid_conf) check_mode(path, info, holds_secret(*content, "password"), report);
        else check_mode(path, info, holds_secret(*content, "incominguser") || holds_secret(*content, "outgoinguser"), report);
    }
    for (const config::Complaint& c : config::read_iscsid_conf(at.iscsid_conf).complaints)
        report.warn("configuration")
            .found("%s", c.message().c_str())
            .mend("mend the line");
    config::Database database(at.state);
    state.nodes = database.nodes();
    for (const Record& node : state.nodes) {
        const config::NodeId id = config::id_of(node);
        const std::string portal = config::portal_text(id.address, id.port);
        check_chap(node, id.target.c_str(), portal.c_str(), report);
        if (!id.iface.empty() && !database.iface(id.iface))
            report.warn("records")
                .found("%s at %s is bound to iface %s, which is no more", id.target.c_str(), portal.c_str(), id.iface.c_str())
                .mend("iscsiadm -m iface -I %s -o new, or iscsiadm -m node -T %s -I %s -o delete", id.iface.c_str(),
                      id.target.c_str(), id.iface.c_str());
    }
    if (!report.worse_since(mark))
        report.ok("records")
            .is("%zu node%s, %zu portal%s of discovery", files, plural(files), others, plural(others));
}

}  // namespace iscsi::doctor
