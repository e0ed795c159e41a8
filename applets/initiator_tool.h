// What the one-shots that log in to a target share: who we are, URLs as words, errors.
#pragma once
#include <string>

#include "applets/cli.h"
#include "applets/one_shot.h"
#include "core/initiator/client.h"
#include "core/initiator/url.h"

namespace iscsi::applets {

// Rows that every one of them has.
#define ISCSI_INITIATOR_OPTIONS                                                                                              \
    {'i', "initiator-name", cli::Arg::required, "IQN", "log in under this name (initiatorname.iscsi's, else the host's own)"},     \
    {0, "command-timeout", cli::Arg::required, "SECONDS", "abort a command that is not answered after so long (60)"},        \
    {'d', "debug", cli::Arg::none, nullptr, "say more"},                                                                     \
    {'h', "help", cli::Arg::none, nullptr, "show this"}

inline constexpr const char* url_help =
    "URL: iscsi://[USER[%PASSWORD]@]HOST[:PORT][/TARGET[/LUN]][?ARGUMENT=VALUE&...]\n"
    "  HOST is a name, an IPv4 address or an IPv6 address in brackets. Arguments:\n"
    "  target_user, target_password (mutual CHAP), header_digest, data_digest\n"
    "  (none, crc32c, none-crc32c, crc32c-none), initiator.\n"
    "  A password in a URL can be seen in ps; LIBISCSI_CHAP_USERNAME,\n"
    "  LIBISCSI_CHAP_PASSWORD, LIBISCSI_CHAP_TARGET_USERNAME and\n"
    "  LIBISCSI_CHAP_TARGET_PASSWORD in the environment serve as well.\n";

// Parses; help and mistakes are dealt with here: then `exit_code` is set and the caller returns it.
struct ToolLine {
    cli::Parsed parsed;
    std::string initiator_name;
    uint64_t command_timeout_ms = 60000;
    uint64_t timeout_ms = 120000;       // --timeout, where a tool has it; 0: none
    int exit_code = -1;
};
ToolLine tool_line(const cli::Interface& interface, int argc, char** argv, size_t min_words, size_t max_words);

// A session with the target of `url` as the line wishes it.
initiator::SessionConfig session_for(const ToolLine& line, const initiator::Url& url);

// A URL that names target and LUN, or an error that says what is missing.
Result<initiator::Url> disk_url(const std::string& text, bool needs_lun = true);

// Wipes what follows '%' in URLs among the arguments, so that ps does not show it for longer than needed.
void hide_secrets(int argc, char** argv);

}  // namespace iscsi::applets
