// Initiator task tags of a session: the slot of the task table in the low 12 bits, a generation above, so that a tag of a
// command that is over is known for what it is.
#pragma once
#include <cstdint>

namespace iscsi::initiator {

inline constexpr uint32_t max_tasks = 1024;
inline constexpr uint32_t control_index = 0xffe;        // no task has it; neither does it make the reserved tag
inline constexpr uint32_t tmf_index = 0xffd;            // task management functions have this one, and generations
inline constexpr uint32_t ping_tag = control_index, logout_tag = 0x1000 | control_index;

constexpr uint32_t tag_index(uint32_t itt) { return itt & 0xfff; }
constexpr uint32_t next_tag(uint32_t previous, uint32_t index) { return ((previous & 0xfffff000) + 0x1000) | index; }

}  // namespace iscsi::initiator
