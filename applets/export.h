// What `iscsi export` has set up, and how it is told.
#pragma once
#include <string>
#include <vector>

#include "core/target/session_registry.h"

namespace iscsi::applets {

struct ExportPlan {
    std::string name, user, secret;         // user empty: no authentication
    bool secret_made = false;
    uint32_t block_size = 512;
    uint64_t seconds = 0;                   // end after so long; 0: never
    struct Lun { uint64_t lun; std::string path; uint64_t size; bool read_only; };
    std::vector<Lun> luns;
    std::vector<std::string> portals;       // as the server shows them
};

// Lines ready to paste into other machines; or one JSON object.
void print_plan(const ExportPlan& plan, bool json);
// "login", "logout", "lost": one line. Any thread.
void print_event(const char* event, const target::SessionRecord& session, bool json);

}  // namespace iscsi::applets
