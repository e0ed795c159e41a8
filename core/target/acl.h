// Who may log in to a target: rules by address and by initiator name, as tgt has them. Any rule that matches admits;
// no rule at all admits nobody.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace iscsi::target {

class Acl {
public:
    // False if the same text is there already / is not there.
    bool add_address(std::string rule);
    bool remove_address(std::string_view rule);
    bool add_name(std::string name);
    bool remove_name(std::string_view name);

    // `address` is numeric, IPv6 without brackets. Forms of a rule: ALL, 192.0.2.1, 192.0.2.0/24, 2001:db8::1, [2001:db8::1],
    // [2001:db8::]/64, 2001:db8::/64. Host bits of a network are ignored; /32 and /128 are hosts.
    bool admits(std::string_view initiator_name, std::string_view address) const;

    const std::vector<std::string>& addresses() const { return addresses_; }
    const std::vector<std::string>& names() const { return names_; }

private:
    std::vector<std::string> addresses_, names_;
};

bool address_matches(std::string_view rule, std::string_view address);
bool is_address_rule(std::string_view rule);        // false: it can match nobody

}  // namespace iscsi::target
