// Every key of the record database, once: identifier, name in files, type, built-in default, words allowed, flags. Enum, table,
// file order, documentation and fuzz dictionary are made from these lists. A list's order is the order in files and on screen.
#pragma once

// What a value is. `number` is a signed 32-bit decimal, `word` one of the given words, `algs` a list of CHAP algorithms.
//
// flags: fixed    names the record; `-o update` refuses it ("is used to look up the record")
//        secret   shown as ******** unless asked for
//        iface    belongs to iface mode: `-m node -o update` refuses it
#define ISCSI_STARTUP "manual\0automatic\0onboot\0"
#define ISCSI_YES_NO "No\0Yes\0"
#define ISCSI_AUTH "None\0CHAP\0"
#define ISCSI_DIGEST "None\0CRC32C\0CRC32C,None\0None,CRC32C\0"
#define ISCSI_FOUND_BY "send_targets\0isns\0offload_send_targets\0slp\0static\0fw\0"

#define ISCSI_IFACE_KEYS(ROW)                                                                          \
    ROW(iface_name, "iface.iscsi_ifacename", text, "", "", iface)                                      \
    ROW(iface_net_ifacename, "iface.net_ifacename", text, "", "", iface)                               \
    ROW(iface_ipaddress, "iface.ipaddress", text, "", "", iface)                                       \
    ROW(iface_prefix_len, "iface.prefix_len", number, "0", "", iface)                                  \
    ROW(iface_hwaddress, "iface.hwaddress", text, "", "", iface)                                       \
    ROW(iface_transport_name, "iface.transport_name", text, "tcp", "", 0)                              \
    ROW(iface_initiatorname, "iface.initiatorname", text, "", "", iface)                               \
    ROW(iface_state, "iface.state", text, "", "", iface)                                               \
    ROW(iface_vlan_id, "iface.vlan_id", number, "0", "", iface)                                        \
    ROW(iface_vlan_priority, "iface.vlan_priority", number, "0", "", iface)                            \
    ROW(iface_vlan_state, "iface.vlan_state", text, "", "", iface)                                     \
    ROW(iface_num, "iface.iface_num", number, "0", "", iface)                                          \
    ROW(iface_mtu, "iface.mtu", number, "0", "", iface)                                                \
    ROW(iface_port, "iface.port", number, "0", "", iface)                                              \
    ROW(iface_bootproto, "iface.bootproto", text, "", "", iface)                                       \
    ROW(iface_subnet_mask, "iface.subnet_mask", text, "", "", iface)                                   \
    ROW(iface_gateway, "iface.gateway", text, "", "", iface)                                           \
    ROW(iface_dhcp_alt_client_id_state, "iface.dhcp_alt_client_id_state", text, "", "", iface)         \
    ROW(iface_dhcp_alt_client_id, "iface.dhcp_alt_client_id", text, "", "", iface)                     \
    ROW(iface_dhcp_dns, "iface.dhcp_dns", text, "", "", iface)                                         \
    ROW(iface_dhcp_learn_iqn, "iface.dhcp_learn_iqn", text, "", "", iface)                             \
    ROW(iface_dhcp_req_vendor_id_state, "iface.dhcp_req_vendor_id_state", text, "", "", iface)         \
    ROW(iface_dhcp_vendor_id_state, "iface.dhcp_vendor_id_state", text, "", "", iface)                 \
    ROW(iface_dhcp_vendor_id, "iface.dhcp_vendor_id", text, "", "", iface)                             \
    ROW(iface_dhcp_slp_da, "iface.dhcp_slp_da", text, "", "", iface)                                   \
    ROW(iface_fragmentation, "iface.fragmentation", text, "", "", iface)                               \
    ROW(iface_gratuitous_arp, "iface.gratuitous_arp", text, "", "", iface)                             \
    ROW(iface_incoming_forwarding, "iface.incoming_forwarding", text, "", "", iface)                   \
    ROW(iface_tos_state, "iface.tos_state", text, "", "", iface)                                       \
    ROW(iface_tos, "iface.tos", number, "0", "", iface)                                                \
    ROW(iface_ttl, "iface.ttl", number, "0", "", iface)                                                \
    ROW(iface_delayed_ack, "iface.delayed_ack", text, "", "", iface)                                   \
    ROW(iface_tcp_nagle, "iface.tcp_nagle", text, "", "", iface)                                       \
    ROW(iface_tcp_wsf_state, "iface.tcp_wsf_state", text, "", "", iface)                               \
    ROW(iface_tcp_wsf, "iface.tcp_wsf", number, "0", "", iface)                                        \
    ROW(iface_tcp_timer_scale, "iface.tcp_timer_scale", number, "0", "", iface)                        \
    ROW(iface_tcp_timestamp, "iface.tcp_timestamp", text, "", "", iface)                               \
    ROW(iface_redirect, "iface.redirect", text, "", "", iface)                                         \
    ROW(iface_def_task_mgmt_timeout, "iface.def_task_mgmt_timeout", number, "0", "", iface)            \
    ROW(iface_header_digest, "iface.header_digest", text, "", "", iface)                               \
    ROW(iface_data_digest, "iface.data_digest", text, "", "", iface)                                   \
    ROW(iface_immediate_data, "iface.immediate_data", text, "", "", iface)                             \
    ROW(iface_initial_r2t, "iface.initial_r2t", text, "", "", iface)                                   \
    ROW(iface_data_seq_inorder, "iface.data_seq_inorder", text, "", "", iface)                         \
    ROW(iface_data_pdu_inorder, "iface.data_pdu_inorder", text, "", "", iface)                         \
    ROW(iface_erl, "iface.erl", number, "0", "", iface)                                                \
    ROW(iface_max_receive_data_len, "iface.max_receive_data_len", number, "0", "", iface)              \
    ROW(iface_first_burst_len, "iface.first_burst_len", number, "0", "", iface)                        \
    ROW(iface_max_outstanding_r2t, "iface.max_outstanding_r2t", number, "0", "", iface)                \
    ROW(iface_max_burst_len, "iface.max_burst_len", number, "0", "", iface)                            \
    ROW(iface_chap_auth, "iface.chap_auth", text, "", "", iface)                                       \
    ROW(iface_bidi_chap, "iface.bidi_chap", text, "", "", iface)                                       \
    ROW(iface_strict_login_compliance, "iface.strict_login_compliance", text, "", "", iface)           \
    ROW(iface_discovery_auth, "iface.discovery_auth", text, "", "", iface)                             \
    ROW(iface_discovery_logout, "iface.discovery_logout", text, "", "", iface)

#define ISCSI_NODE_HEAD_KEYS(ROW)                                                                      \
    ROW(node_name, "node.name", text, "", "", fixed)                                                   \
    ROW(node_tpgt, "node.tpgt", number, "-1", "", fixed)                                               \
    ROW(node_startup, "node.startup", word, "manual", ISCSI_STARTUP, 0)                                \
    ROW(node_leading_login, "node.leading_login", word, "No", ISCSI_YES_NO, 0)

#define ISCSI_NODE_KEYS(ROW)                                                                           \
    ROW(discovery_address, "node.discovery_address", text, "", "", fixed)                              \
    ROW(discovery_port, "node.discovery_port", number, "0", "", fixed)                                 \
    ROW(discovery_type, "node.discovery_type", word, "static", ISCSI_FOUND_BY, fixed)                  \
    ROW(initial_cmdsn, "node.session.initial_cmdsn", number, "0", "", 0)                               \
    ROW(initial_login_retry_max, "node.session.initial_login_retry_max", number, "4", "", 0)           \
    ROW(xmit_thread_priority, "node.session.xmit_thread_priority", number, "-20", "", 0)               \
    ROW(cmds_max, "node.session.cmds_max", number, "128", "", 0)                                       \
    ROW(queue_depth, "node.session.queue_depth", number, "32", "", 0)                                  \
    ROW(nr_sessions, "node.session.nr_sessions", number, "1", "", 0)                                   \
    ROW(authmethod, "node.session.auth.authmethod", word, "None", ISCSI_AUTH, 0)                       \
    ROW(username, "node.session.auth.username", text, "", "", 0)                                       \
    ROW(password, "node.session.auth.password", text, "", "", secret)                                  \
    ROW(username_in, "node.session.auth.username_in", text, "", "", 0)                                 \
    ROW(password_in, "node.session.auth.password_in", text, "", "", secret)                            \
    ROW(chap_algs, "node.session.auth.chap_algs", algs, "MD5", "", 0)                                  \
    ROW(replacement_timeout, "node.session.timeo.replacement_timeout", number, "120", "", 0)           \
    ROW(abort_timeout, "node.session.err_timeo.abort_timeout", number, "15", "", 0)                    \
    ROW(lu_reset_timeout, "node.session.err_timeo.lu_reset_timeout", number, "30", "", 0)              \
    ROW(tgt_reset_timeout, "node.session.err_timeo.tgt_reset_timeout", number, "30", "", 0)            \
    ROW(host_reset_timeout, "node.session.err_timeo.host_reset_timeout", number, "60", "", 0)          \
    ROW(fast_abort, "node.session.iscsi.FastAbort", word, "Yes", ISCSI_YES_NO, 0)                      \
    ROW(initial_r2t, "node.session.iscsi.InitialR2T", word, "No", ISCSI_YES_NO, 0)                     \
    ROW(immediate_data, "node.session.iscsi.ImmediateData", word, "Yes", ISCSI_YES_NO, 0)              \
    ROW(first_burst_length, "node.session.iscsi.FirstBurstLength", number, "262144", "", 0)            \
    ROW(max_burst_length, "node.session.iscsi.MaxBurstLength", number, "16776192", "", 0)              \
    ROW(default_time2retain, "node.session.iscsi.DefaultTime2Retain", number, "0", "", 0)              \
    ROW(default_time2wait, "node.session.iscsi.DefaultTime2Wait", number, "2", "", 0)                  \
    ROW(max_connections, "node.session.iscsi.MaxConnections", number, "1", "", 0)                      \
    ROW(max_outstanding_r2t, "node.session.iscsi.MaxOutstandingR2T", number, "1", "", 0)               \
    ROW(erl, "node.session.iscsi.ERL", number, "0", "", 0)                                             \
    ROW(scan, "node.session.scan", word, "auto", "manual\0auto\0", 0)                                  \
    ROW(reopen_max, "node.session.reopen_max", number, "0", "", 0)                                     \
    ROW(conn_address, "node.conn[0].address", text, "", "", fixed)                                     \
    ROW(conn_port, "node.conn[0].port", number, "3260", "", fixed)                                     \
    ROW(conn_startup, "node.conn[0].startup", word, "manual", ISCSI_STARTUP, 0)                        \
    ROW(tcp_window_size, "node.conn[0].tcp.window_size", number, "524288", "", 0)                      \
    ROW(tcp_type_of_service, "node.conn[0].tcp.type_of_service", number, "0", "", 0)                   \
    ROW(logout_timeout, "node.conn[0].timeo.logout_timeout", number, "15", "", 0)                      \
    ROW(login_timeout, "node.conn[0].timeo.login_timeout", number, "30", "", 0)                        \
    ROW(auth_timeout, "node.conn[0].timeo.auth_timeout", number, "45", "", 0)                          \
    ROW(noop_out_interval, "node.conn[0].timeo.noop_out_interval", number, "5", "", 0)                 \
    ROW(noop_out_timeout, "node.conn[0].timeo.noop_out_timeout", number, "5", "", 0)                   \
    ROW(max_xmit_dlength, "node.conn[0].iscsi.MaxXmitDataSegmentLength", number, "0", "", 0)           \
    ROW(max_recv_dlength, "node.conn[0].iscsi.MaxRecvDataSegmentLength", number, "262144", "", 0)      \
    ROW(header_digest, "node.conn[0].iscsi.HeaderDigest", word, "None", ISCSI_DIGEST, 0)               \
    ROW(data_digest, "node.conn[0].iscsi.DataDigest", word, "None", ISCSI_DIGEST, 0)                   \
    ROW(if_marker, "node.conn[0].iscsi.IFMarker", word, "No", ISCSI_YES_NO, 0)                         \
    ROW(of_marker, "node.conn[0].iscsi.OFMarker", word, "No", ISCSI_YES_NO, 0)

// Discovery records: st_config has head, sendtargets keys, and node.session.auth.chap_algs after the credentials.
#define ISCSI_DISCOVERY_HEAD_KEYS(ROW)                                                                 \
    ROW(disc_startup, "discovery.startup", word, "manual", ISCSI_STARTUP, 0)                           \
    ROW(disc_type, "discovery.type", word, "sendtargets", "sendtargets\0isns\0offload_send_targets\0slp\0static\0fw\0", fixed)
#define ISCSI_SENDTARGETS_AUTH_KEYS(ROW)                                                               \
    ROW(st_address, "discovery.sendtargets.address", text, "", "", fixed)                              \
    ROW(st_port, "discovery.sendtargets.port", number, "3260", "", fixed)                              \
    ROW(st_authmethod, "discovery.sendtargets.auth.authmethod", word, "None", ISCSI_AUTH, 0)           \
    ROW(st_username, "discovery.sendtargets.auth.username", text, "", "", 0)                           \
    ROW(st_password, "discovery.sendtargets.auth.password", text, "", "", secret)                      \
    ROW(st_username_in, "discovery.sendtargets.auth.username_in", text, "", "", 0)                     \
    ROW(st_password_in, "discovery.sendtargets.auth.password_in", text, "", "", secret)
#define ISCSI_SENDTARGETS_KEYS(ROW)                                                                    \
    ROW(st_login_timeout, "discovery.sendtargets.timeo.login_timeout", number, "15", "", 0)            \
    ROW(st_use_discoveryd, "discovery.sendtargets.use_discoveryd", word, "No", ISCSI_YES_NO, 0)        \
    ROW(st_poll_interval, "discovery.sendtargets.discoveryd_poll_inval", number, "30", "", 0)          \
    ROW(st_reopen_max, "discovery.sendtargets.reopen_max", number, "5", "", 0)                         \
    ROW(st_auth_timeout, "discovery.sendtargets.timeo.auth_timeout", number, "45", "", 0)              \
    ROW(st_active_timeout, "discovery.sendtargets.timeo.active_timeout", number, "30", "", 0)          \
    ROW(st_max_recv_dlength, "discovery.sendtargets.iscsi.MaxRecvDataSegmentLength", number, "32768", "", 0)
// An iSNS record keeps its address and port under the sendtargets keys, as open-iscsi 2.1.8 does.
#define ISCSI_ISNS_KEYS(ROW)                                                                           \
    ROW(isns_use_discoveryd, "discovery.isns.use_discoveryd", word, "No", ISCSI_YES_NO, 0)             \
    ROW(isns_poll_interval, "discovery.isns.discoveryd_poll_inval", number, "-1", "", 0)
