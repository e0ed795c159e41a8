// tgtadm --mode account: one list for all targets; bound to a target, or (no tid) to discovery sessions.
#include <algorithm>

#include "core/base/format.h"
#include "core/mgmt/tgt_ops.h"

namespace iscsi::mgmt {

TgtAnswer TgtOps::account_op(const TgtRequest& r) {
    const TgtText text = decode_tgt_text(r);
    switch (r.op) {
    case TgtOp::show: {
        const auto users = directory_.accounts();
        if (r.json) {
            Json json;
            json.array();
            for (const auto& user : users) json.value(user);
            return {TgtCode::ok, json.end().take()};
        }
        std::string out = users.empty() ? "" : "Account list:\n";
        for (const auto& user : users) append(out, "    %s\n", user.c_str());
        return {TgtCode::ok, out};
    }
    case TgtOp::create:
        if (!text.user || !text.password || text.user->empty() || text.user->find(',') != std::string::npos)
            return refuse(TgtCode::invalid);
        return refuse(directory_.add_account(*text.user, Secret(*text.password)) ? TgtCode::ok : TgtCode::account_exists);
    case TgtOp::update:                     // not in tgt: a file's new secret takes effect without unbinding the user
        if (!text.user || !text.password) return refuse(TgtCode::invalid);
        return refuse(directory_.set_secret(*text.user, Secret(*text.password)) ? TgtCode::ok : TgtCode::no_account);
    case TgtOp::remove:
        if (!text.user) return refuse(TgtCode::invalid);
        return refuse(directory_.remove_account(*text.user) ? TgtCode::ok : TgtCode::no_account);
    case TgtOp::bind:
    case TgtOp::unbind: return account_bind(r);
    default: return refuse(TgtCode::invalid);
    }
}

TgtAnswer TgtOps::account_bind(const TgtRequest& r) {
    const TgtText text = decode_tgt_text(r);
    if (!text.user) return refuse(TgtCode::invalid);
    const std::string& user = *text.user;
    std::shared_ptr<target::Target> t;
    if (r.tid != -1) {
        t = directory_.find(r.tid);
        if (!t) return refuse(TgtCode::no_target);
    }
    if (r.op == TgtOp::bind && !directory_.has_account(user)) return refuse(TgtCode::no_account);

    auto change = [&](std::vector<std::string>& incoming, std::optional<std::string>& outgoing) {
        const auto place = std::find(incoming.begin(), incoming.end(), user);
        if (r.op == TgtOp::unbind) {
            const bool bound = r.outgoing ? outgoing == user : place != incoming.end();
            if (!bound) return TgtCode::no_account;
            if (r.outgoing) outgoing.reset();
            else incoming.erase(place);
        } else if (r.outgoing) {
            if (outgoing) return TgtCode::outgoing_exists;
            outgoing = user;
        } else {
            if (place != incoming.end()) return TgtCode::account_exists;
            incoming.push_back(user);
        }
        return TgtCode::ok;
    };
    if (t) return refuse(t->change([&](target::TargetConfig& c) { return change(c.incoming_users, c.outgoing_user); }));
    return refuse(directory_.change_discovery_users([&](target::Directory::DiscoveryUsers& d) { return change(d.incoming, d.outgoing); }));
}

}  // namespace iscsi::mgmt
