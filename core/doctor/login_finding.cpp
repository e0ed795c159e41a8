// What a login that failed means, as far as the target's status and our own findings tell.
#include "core/doctor/doctor.h"

namespace iscsi::doctor {

using initiator::LoginFailure;
using initiator::SessionEnd;
using wire::LoginStatus;

void report_login(Report& report, const SessionEnd& end, const initiator::LoginSettings& used, const char* target,
                  const char* portal, bool by_url) {
    const LoginFailure& f = end.login;
    const initiator::ChapSettings& chap = used.chap;
    const char *user = chap.account.user.c_str(), *name = used.offers.initiator_name.c_str();
    auto say = [&](const char* finding, const char* fix) {
        report.fail("login %s at %s", target, portal).found("%s: %s", finding, end.text.c_str()).mend("%s", fix);
    };
    if (end.kind != SessionEnd::Kind::login) return say("no session", "see the target's log");
    // Where user and secret are given: the record's keys, or the URL and its environment.
    auto set = [&](const char* keys, const char* url) {
        return by_url ? std::string(url) : text("iscsiadm -m node -T %s -p %s -o update -n node.session.auth.%s", target, portal, keys);
    };
#define ISCSI_IN_URL "iscsi://USER@HOST/TARGET and LIBISCSI_CHAP_PASSWORD=SECRET in the environment"
    switch (f.kind) {
    case LoginFailure::Kind::refused: break;
    case LoginFailure::Kind::redirected: return say("the target sends us elsewhere, again and again", "see the target's portals");
    case LoginFailure::Kind::target_unproved:
        return report.fail("login %s at %s", target, portal)
            .found("mutual CHAP: the target takes our secret, but does not prove its own (%s)", f.text.c_str())
            .mend("compare with the target's outgoing account, then: %s",
                  set("password_in -v SECRET (and .username_in)",
                      "LIBISCSI_CHAP_TARGET_PASSWORD=SECRET in the environment (and LIBISCSI_CHAP_TARGET_USERNAME)").c_str());
    case LoginFailure::Kind::security:
        return report.fail("login %s at %s", target, portal)
            .found("no way to authenticate that both sides take: %s", f.text.c_str())
            .mend("%s", (*user ? set("chap_algs -v SHA3-256,SHA256,SHA1,MD5; or the target asks for no CHAP: authmethod -v None",
                                     "the target asks for no CHAP? Then without user and secret")
                               : set("authmethod -v CHAP (and .username, .password)", ISCSI_IN_URL)).c_str());
    case LoginFailure::Kind::negotiation: return say("the two cannot agree", "compare HeaderDigest and DataDigest of the record with the target's");
    case LoginFailure::Kind::protocol: return say("the answer is not what RFC 7143 says", "is this an iSCSI target? See its log");
    }
    switch (f.status) {
    case LoginStatus::authentication_failed: {
        if (!*user)
            return report.fail("login %s at %s", target, portal)
                .found("the target wants CHAP, and there is no user and secret for it here")
                .mend("%s", set("authmethod -v CHAP -n node.session.auth.username -v USER -n node.session.auth.password -v SECRET",
                                ISCSI_IN_URL).c_str());
        const size_t n = chap.account.secret.reveal().size();
        return report.fail("login %s at %s", target, portal)
            .found("the target does not take CHAP user '%s' with this secret (of %zu bytes%s)%s", user, n,
                   n < 12 ? ", RFC 7143 wants 12 or more" : n > 16 ? ", some targets take at most 16" : "",
                   chap.target_account.user.empty() ? "" : ", or it has no outgoing account for mutual CHAP")
            .mend("compare with the target's accounts (tgtadm --mode account --op show; is the user bound to this target?), then: %s",
                  set("password -v SECRET", "the right secret in the URL or in LIBISCSI_CHAP_PASSWORD").c_str());
    }
    case LoginStatus::authorization_failed:
        return report.fail("login %s at %s", target, portal)
            .found("the target knows us, but %s may not log in to it", name)
            .mend("on the target, if it is a tgtd: tgtadm --lld iscsi --mode target --op bind --tid N -Q %s (or -I ADDRESS)", name);
    case LoginStatus::not_found:
        return report.fail("login %s at %s", target, portal)
            .found("not there for us: gone, misspelt, or hidden from %s by an ACL", name)
            .mend("iscsiadm -m discovery -t st -p %s lists what we may see; on a tgtd: tgtadm --mode target --op show", portal);
    default: break;
    }
    say("refused", uint16_t(f.status) >> 8 == 3 ? "try again later; see the target's log" : "see the target's log");
}

}  // namespace iscsi::doctor
