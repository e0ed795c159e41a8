// iscsi-iname: makes a name for an initiator.
#include <cstdio>

#include "applets/applet.h"
#include "applets/cli.h"
#include "core/config/iscsid_conf.h"

namespace iscsi::applets {
namespace {

constexpr cli::Option options[] = {
    {'p', "prefix", cli::Arg::required, "PREFIX", "what comes before the random part (iqn.2016-04.com.open-iscsi), at most 210 bytes"},
    {'g', "generate-iname-prefix", cli::Arg::none, nullptr, "print InitiatorName= before it, as initiatorname.iscsi has it"},
    {'h', "help", cli::Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "iscsi-iname", "make an initiator name", "iscsi-iname [-g] [-p PREFIX]", options, nullptr,
    "  iscsi-iname -g -p iqn.2026-01.org.example > /etc/iscsi/initiatorname.iscsi", 8};

}  // namespace

int iscsi_iname_main(int argc, char** argv) {
    cli::Parsed parsed = cli::parse(interface, argc, argv);
    if (parsed.error) {
        std::fprintf(stderr, "iscsi-iname: %s\n%s", parsed.error->c_str(), cli::help(interface).c_str());
        return 1;
    }
    if (parsed.has("help")) {
        std::fputs(cli::help(interface).c_str(), stderr);
        return 0;
    }
    std::string prefix = parsed.get("prefix").value_or("iqn.2016-04.com.open-iscsi");
    if (prefix.empty() || prefix.size() > 210 || !config::safe_name(prefix)) {
        std::fprintf(stderr, "iscsi-iname: '%s' cannot begin a name: 1 to 210 letters, digits, '-', '.' and ':'\n", prefix.c_str());
        return 1;
    }
    std::printf("%s%s\n", parsed.has("generate-iname-prefix") ? "InitiatorName=" : "", config::random_initiator_name(prefix).c_str());
    return 0;
}

}  // namespace iscsi::applets
