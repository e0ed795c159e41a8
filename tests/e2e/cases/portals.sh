# Login to 64 portals of which 62 are dead.
target_start
target_disk disk.img 64M
guest_tools ov
printf '%s\n' "IQN=$IQN" > ov/etc/vm.env
guest portals -o ov -T 100
