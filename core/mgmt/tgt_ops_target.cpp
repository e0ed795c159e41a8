// tgtadm --mode target: make, delete, show, set, admit.
#include <algorithm>

#include "core/base/format.h"
#include "core/mgmt/tgt_ops.h"
#include "core/mgmt/tgt_params.h"

namespace iscsi::mgmt {
namespace {

using target::TargetConfig;

// What tgt admits in a name; nothing else about it is checked.
bool valid_name(std::string_view name) {
    return std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '.' || c == '-';
    });
}

}  // namespace

TgtAnswer TgtOps::target_op(const TgtRequest& r) {
    if (r.op == TgtOp::create) return target_new(r);
    if (r.op == TgtOp::show && r.tid == -1) {
        if (!r.json) return {TgtCode::ok, show_targets()};
        Json json;
        json.array();
        for (const auto& t : directory_.targets()) target_json(json, *t);
        return {TgtCode::ok, json.end().take()};
    }
    const auto t = directory_.find(r.tid);
    if (!t) return refuse(TgtCode::no_target);
    switch (r.op) {
    case TgtOp::show: return {TgtCode::ok, r.json ? parameters_json(*t) : show_parameters(*t)};
    case TgtOp::stat: return stat({t}, nullptr, r.json);
    case TgtOp::update: return target_update(r, *t);
    case TgtOp::bind:
    case TgtOp::unbind: return target_bind(r, *t);
    default: return refuse(TgtCode::invalid);
    }
}

TgtAnswer TgtOps::target_new(const TgtRequest& r) {
    const TgtText text = decode_tgt_text(r);
    if (r.tid < 1 || !text.targetname) return refuse(TgtCode::invalid);
    const std::string name = text.targetname->substr(0, text.targetname->find(','));     // tgt cuts there
    if (!valid_name(name)) return refuse(TgtCode::invalid);
    const auto t = directory_.add(r.tid, name);
    if (!t) return refuse(TgtCode::target_exists);
    t->change([&](TargetConfig& c) {
        c.nop_interval = options_.nop_interval;
        c.nop_count = options_.nop_count;
    });
    add_controller(*t);
    return {};
}

void TgtOps::forget_target(int tid) {
    inert_.erase(tid);
    host_bindings_.erase(tid);
    records_.erase(tid);
}

TgtAnswer TgtOps::target_update(const TgtRequest& r, target::Target& t) {
    const TgtText text = decode_tgt_text(r);
    if (!text.name || !text.value) return refuse(TgtCode::invalid);
    return refuse(t.change([&](TargetConfig& c) {
        return set_target_parameter(c, inert_[t.tid()], *text.name, *text.value) ? TgtCode::ok : TgtCode::invalid;
    }));
}

// Both rules of one request go in together or not at all.
TgtAnswer TgtOps::target_bind(const TgtRequest& r, target::Target& t) {
    const TgtText text = decode_tgt_text(r);
    const bool add = r.op == TgtOp::bind;
    if (!text.initiator_address && !text.initiator_name) {
        auto& hosts = host_bindings_[t.tid()];
        if (add) return refuse(hosts.insert(r.host).second ? TgtCode::ok : TgtCode::binding_exists);
        return refuse(hosts.erase(r.host) ? TgtCode::ok : TgtCode::no_binding);
    }
    return refuse(t.change([&](TargetConfig& c) {
        auto there = [](const std::vector<std::string>& list, const std::optional<std::string>& text_) {
            return text_ && std::find(list.begin(), list.end(), *text_) != list.end();
        };
        const bool address = there(c.acl.addresses(), text.initiator_address), name = there(c.acl.names(), text.initiator_name);
        if (add && (address || name)) return TgtCode::acl_exists;
        if (!add && ((text.initiator_address && !address) || (text.initiator_name && !name))) return TgtCode::no_acl;
        if (text.initiator_address) (void)(add ? c.acl.add_address(*text.initiator_address) : c.acl.remove_address(*text.initiator_address));
        if (text.initiator_name) (void)(add ? c.acl.add_name(*text.initiator_name) : c.acl.remove_name(*text.initiator_name));
        return TgtCode::ok;
    }));
}

std::string TgtOps::show_targets() const {
    std::string out;
    for (const auto& t : directory_.targets()) show_target(out, *t);
    return out;
}

void TgtOps::show_target(std::string& out, target::Target& t) const {
    const TargetConfig c = t.config();
    append(out, "Target %d: %s\n    System information:\n        Driver: iscsi\n        State: %s\n", t.tid(), t.name().c_str(),
           c.ready ? "ready" : "offline");
    if (c.nop_interval) append(out, "        Nop interval: %d\n        Nop count: %d\n", c.nop_interval, c.nop_count);
    out += "    I_T nexus information:\n";
    for (const auto& s : directory_.sessions.of_target(t.tid())) {
        append(out, "        I_T nexus: %u\n            Initiator: %s alias: %s\n", unsigned(s->sid), s->initiator.c_str(),
               s->alias.empty() ? "none" : s->alias.c_str());
        std::lock_guard lock(s->mutex);
        for (const auto& connection : s->connections)
            append(out, "            Connection: %u\n                IP Address: %s\n", unsigned(connection->cid), connection->address.c_str());
    }
    out += "    LUN information:\n";
    show_luns(out, t);
    out += "    Account information:\n";
    for (const auto& user : c.incoming_users) append(out, "        %s\n", user.c_str());
    if (c.outgoing_user) append(out, "        %s (outgoing)\n", c.outgoing_user->c_str());
    out += "    ACL information:\n";
    for (const auto& rule : c.acl.addresses()) append(out, "        %s\n", rule.c_str());
    for (const auto& name : c.acl.names()) append(out, "        %s\n", name.c_str());
}

std::string TgtOps::show_parameters(target::Target& t) const {
    const TargetConfig c = t.config();
    std::string out;
    if (!c.redirect.callback.empty()) {
        append(out, "RedirectCallback=%s\n", c.redirect.callback.c_str());
        return out;
    }
    if (!c.redirect.address.empty()) {
        append(out, "RedirectAddress=%s\nRedirectPort=%s\nRedirectReason=%s\n", c.redirect.address.c_str(),
               c.redirect.port.empty() ? "3260" : c.redirect.port.c_str(), c.redirect.reason.empty() ? "Unknown" : c.redirect.reason.c_str());
        return out;
    }
    append(out, "nop_interval=%d\nnop_count=%d\n", c.nop_interval, c.nop_count);
    const auto inert = inert_.find(t.tid());
    for (const auto& [name, value] : target_parameters(c, inert == inert_.end() ? InertKeys{} : inert->second))
        append(out, "%s=%s\n", name.c_str(), value.c_str());
    return out;
}

std::string TgtOps::parameters_json(target::Target& t) const {
    const TargetConfig c = t.config();
    Json json;
    json.object().field("tid", t.tid()).field("name", t.name()).field("nop_interval", c.nop_interval).field("nop_count", c.nop_count);
    json.key("redirect");
    if (c.redirect.address.empty() && c.redirect.callback.empty()) {
        json.null();
    } else {
        json.object().field("address", c.redirect.address).field("port", c.redirect.port).field("reason", c.redirect.reason);
        json.field("callback", c.redirect.callback).end();
    }
    json.key("parameters").object();
    const auto inert = inert_.find(t.tid());
    for (const auto& [name, value] : target_parameters(c, inert == inert_.end() ? InertKeys{} : inert->second)) json.field(name, value);
    json.end().end();
    return json.take();
}

void TgtOps::target_json(Json& json, target::Target& t) const {
    const TargetConfig c = t.config();
    json.object().field("tid", t.tid()).field("name", t.name()).field("driver", "iscsi").field("state", c.ready ? "ready" : "offline");
    json.field("nop_interval", c.nop_interval).field("nop_count", c.nop_count);
    json.key("sessions").array();
    for (const auto& s : directory_.sessions.of_target(t.tid())) {
        json.object().field("sid", int(s->sid)).field("initiator", s->initiator).field("alias", s->alias).key("connections").array();
        std::lock_guard lock(s->mutex);
        for (const auto& connection : s->connections)
            json.object().field("cid", int(connection->cid)).field("address", connection->address).end();
        json.end().end();
    }
    json.end();
    luns_json(json, t);
    auto list = [&](const char* name, const std::vector<std::string>& values) {
        json.key(name).array();
        for (const auto& v : values) json.value(v);
        json.end();
    };
    list("incoming_users", c.incoming_users);
    json.key("outgoing_user");
    if (c.outgoing_user) json.value(*c.outgoing_user);
    else json.null();
    list("initiator_addresses", c.acl.addresses());
    list("initiator_names", c.acl.names());
    json.end();
}

}  // namespace iscsi::mgmt
