#include "core/mgmt/conf_check.h"

#include <set>

#include "core/base/nearest.h"
#include "core/config/records.h"
#include "core/mgmt/tgt_params.h"
#include "core/mgmt/tgt_use.h"
#include "core/store/store.h"
#include "core/target/acl.h"

namespace iscsi::mgmt {
namespace {

using config::ConfBlock;
using config::ConfEntry;
using config::ConfMistake;

constexpr std::string_view types[] = {"rdwr", "aio", "null", "ram"};
struct Length { std::string_view key; size_t most; };
constexpr Length lengths[] = {{"vendor_id", 8}, {"product_id", 16}, {"product_rev", 4}, {"scsi_sn", 36}, {"scsi_id", 36}};

// What the daemon would take, or find out later, though it is hardly meant.
class Suspicions {
public:
    explicit Suspicions(std::vector<ConfMistake>& out) : out_(out) {}

    void look(const ConfBlock& block) {
        for (const ConfEntry& e : block.entries) {
            if (e.key == "target") stores_.clear();
            if (e.has_value) look(e);
            if (e.block) look(*e.block);
        }
    }

private:
    void say(const ConfEntry& e, std::string text, bool minor = false) { out_.push_back({e.value_place, std::move(text), false, 1, minor}); }

    void look(const ConfEntry& e) {
        const std::string quoted = "'" + e.value + "'";
        if (e.key == "initiator-address" && e.value != "none" && !target::is_address_rule(e.value)) say(e, quoted + " is no address, no ADDRESS/BITS, and not ALL: it matches nobody");
        if (e.key == "initiator-name" && !config::safe_name(e.value)) say(e, quoted + " cannot be an initiator's name: it matches nobody");
        if (e.key == "backing-store" || e.key == "direct-store") {
            if (e.value[0] == '/' && !is_file_or_device(e.value)) say(e, quoted + " is neither file nor device");
            if (!stores_.insert(e.value).second) say(e, quoted + " is there twice: both are written, and neither knows of the other");
        }
        if (e.key == "bs-type" && !store::known_store_type(e.value)) {
            const std::string_view meant = nearest(e.value, types);
            say(e, "there is no bs-type " + quoted + (meant.empty() ? "; rdwr, aio, null and ram are there" : "; did you mean '" + std::string(meant) + "'?"));
        }
        if ((e.key == "nop_interval" || e.key == "nop_count") && e.value.find_first_not_of("0123456789") != std::string::npos) say(e, quoted + " is no number: 0 is taken");
        for (const Length& l : lengths)
            if (e.key == l.key && e.value.size() > l.most) say(e, "'" + e.key + "' holds " + std::to_string(l.most) + " characters, the rest is cut off", true);
        if (e.key == "incominguser" || e.key == "outgoinguser") {
            const size_t blank = e.value.find_first_of(" \t"), start = blank == std::string::npos ? blank : e.value.find_first_not_of(" \t", blank);
            if (start != std::string::npos && e.value.size() - start < 12)
                say(e, "the secret has " + std::to_string(e.value.size() - start) + " bytes; RFC 7143 wants 12 or more, and some initiators insist", true);
        }
    }

    std::vector<ConfMistake>& out_;
    std::set<std::string> stores_;
};

}  // namespace

config::ConfModel checked_targets_conf(const std::string& path) {
    config::TargetsConf conf = config::read_targets_conf(path);
    std::vector<ConfMistake> suspicions;
    Suspicions(suspicions).look(conf.root);
    config::ConfModel model = config::model_of(std::move(conf));
    for (const auto& t : model.targets) {
        target::TargetConfig scratch;
        InertKeys inert;
        for (const auto& [name, value] : t.parameters)
            if (!set_target_parameter(scratch, inert, name, value))
                model.mistakes.push_back({t.parameter_places.at(name), "'" + name + "' cannot be '" + value + "'", false, 0});
    }
    model.mistakes.insert(model.mistakes.end(), suspicions.begin(), suspicions.end());
    return model;
}

}  // namespace iscsi::mgmt
