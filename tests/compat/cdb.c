/* cdb URL BYTES CDB [OUT]: one SCSI command by libiscsi; prints status, sense, residual and what came, as the transcripts do.
 * CDB and OUT are hex. Unit attentions are taken off first unless KEEPUA is set. */
#include <ctype.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int from_hex(const char *text, uint8_t *out, int room) {
    int n = 0;
    while (*text && n < room) {
        char pair[3] = {0};
        if (isspace((unsigned char)*text)) {
            text++;
            continue;
        }
        pair[0] = *text++;
        if (*text) pair[1] = *text++;
        out[n++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

static void dump(const uint8_t *data, int n) {
    for (int at = 0; at < n; at += 16) {
        printf("  %04x ", at);
        for (int i = at; i < at + 16; i++) i < n ? printf(" %02x", data[i]) : printf("   ");
        printf("  ");
        for (int i = at; i < at + 16 && i < n; i++) putchar(isprint(data[i]) && data[i] < 0x7f ? data[i] : '.');
        putchar('\n');
    }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: cdb URL BYTES CDB [OUT]\n");
        return 2;
    }
    const char *name = getenv("INAME");
    struct iscsi_context *iscsi = iscsi_create_context(name ? name : "iqn.2001-04.com.example:client1");
    struct iscsi_url *url = iscsi_parse_full_url(iscsi, argv[1]);
    if (!url) {
        fprintf(stderr, "bad url\n");
        return 2;
    }
    iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(iscsi, ISCSI_HEADER_DIGEST_NONE_CRC32C);
    iscsi_set_targetname(iscsi, url->target);
    if (iscsi_connect_sync(iscsi, url->portal) || iscsi_login_sync(iscsi)) {     /* no TEST UNIT READY of the library's own */
        fprintf(stderr, "login: %s\n", iscsi_get_error(iscsi));
        return 10;
    }
    for (int more = getenv("KEEPUA") ? 0 : 8; more > 0; more--) {
        struct scsi_task *ready = iscsi_testunitready_sync(iscsi, url->lun);
        if (!ready || ready->status != SCSI_STATUS_CHECK_CONDITION || ready->sense.key != SCSI_SENSE_UNIT_ATTENTION) more = 0;
        if (ready) scsi_free_scsi_task(ready);
    }
    uint8_t cdb[16], out[4096];
    const int cdb_length = from_hex(argv[3], cdb, sizeof cdb);
    const int out_length = argc > 4 ? from_hex(argv[4], out, sizeof out) : 0;
    const int in_length = atoi(argv[2]);
    struct scsi_task *task = scsi_create_task(cdb_length, cdb, out_length ? SCSI_XFER_WRITE : in_length ? SCSI_XFER_READ : SCSI_XFER_NONE,
                                              out_length ? out_length : in_length);
    struct iscsi_data data = {(size_t)out_length, out};
    if (!iscsi_scsi_command_sync(iscsi, url->lun, task, out_length ? &data : NULL)) {
        fprintf(stderr, "command: %s\n", iscsi_get_error(iscsi));
        return 10;
    }
    const int check = task->status == SCSI_STATUS_CHECK_CONDITION;
    printf("status %02x", (unsigned)task->status);
    if (check) printf(" sense key %x asc/ascq %02x/%02x", (unsigned)task->sense.key, (unsigned)task->sense.ascq >> 8, (unsigned)task->sense.ascq & 255);
    if (task->residual_status != SCSI_RESIDUAL_NO_RESIDUAL)
        printf(" residual %s %zu", task->residual_status == SCSI_RESIDUAL_UNDERFLOW ? "underflow" : "overflow", task->residual);
    printf(" %s %d\n", check ? "sense segment (2 byte length first)" : "data", task->datain.size);
    if (task->datain.data) dump(task->datain.data, task->datain.size);
    iscsi_logout_sync(iscsi);
    return 0;
}
