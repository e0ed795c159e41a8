#include "core/mgmt/tgt_self_config.h"

#include <cerrno>

#include "core/base/log.h"
#include "core/mgmt/tgt_admin.h"

namespace iscsi::mgmt {

int tgt_configure(TgtOps& ops, const std::string& path, bool again) {
    TgtAdmin::Options options;
    options.verbose = true;             // so that skipped devices are told
    options.ignore_errors = true;
    std::string last;                   // the request that a complaint is about
    TgtAdmin::Io io;
    io.call = [&ops](int, const TgtRequest& request) -> Result<TgtAnswer> {
        auto slot = std::make_shared<std::optional<TgtAnswer>>();
        ops.handle(request, std::make_shared<TgtReply>([slot](TgtAnswer a) { *slot = std::move(a); }));
        if (!*slot) return Error{EBUSY, "a session is still ending", ""};
        return **slot;
    };
    io.say = [&last](const std::string& text) {
        last = text.substr(0, text.find('\n'));
        const bool mistake = last.starts_with("# ") && last.find(".conf:") != std::string::npos;
        if (mistake || last.starts_with("# Skipping device")) log::warning("%s", last.c_str() + 2);
        else if (!last.empty()) log::debug("%s", last.c_str());
    };
    io.complain = [&last](std::string_view program, const std::string& text) {
        const bool refused = program == "tgtadm";
        log::error("%s%s%s", text.c_str(), refused ? ": " : "", refused ? last.c_str() : "");
    };
    TgtAdmin admin(options, std::move(io));
    return again ? admin.update("ALL", path) : admin.execute(path);
}

}  // namespace iscsi::mgmt
