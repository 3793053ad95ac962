/*
 * The signed bytes of an energy.reading Entry, for firmware. Plain C99, no dependencies, no allocation.
 *
 *   ./encode NETWORK SUBJECT SIGNER SEQUENCE START_UNIX_S INTERVAL_SECONDS  EXPORT_WH IMPORT_WH GENERATION_WH  ...
 *
 * NETWORK and SUBJECT are 64 hex digits, SIGNER 16; the counters come in threes, one for each interval. Prints the bytes as hex.
 * The layout is docs/formats.md, "Entry"; README.md beside this file says what firmware does with the bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 112
#define MAX_ROWS 1024
#define ROW_WORDS 3
#define MAX_SIGNED_BYTES (HEADER_BYTES + 8 * ROW_WORDS * MAX_ROWS)

/* First 8 bytes of SHA-256("energy.reading/1(export_wh:u63,import_wh:u63,generation_wh:u63)"): a constant of the firmware. */
static const uint8_t SCHEMA[8] = {0x79, 0x45, 0xf0, 0x61, 0x29, 0xbe, 0x4a, 0xa1};

typedef struct {
    uint64_t export_wh;     /* each is the register at the END of the interval, below 2^63 */
    uint64_t import_wh;
    uint64_t generation_wh;
} reading;

typedef struct {
    uint8_t network[32];
    uint8_t subject[32];    /* asset id */
    uint8_t signer[8];      /* signer id of the device's key */
    uint64_t sequence;
    uint64_t start_unix_s;  /* start of the first interval, below 2^63 */
    uint32_t interval_seconds;
} reading_header;

static uint8_t *put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *copy(uint8_t *at, const uint8_t *from, size_t bytes)
{
    memcpy(at, from, bytes);
    return at + bytes;
}

/* Writes the bytes to sign into out (MAX_SIGNED_BYTES are enough) and returns their number; 0 if a value is out of its range. */
size_t encode_readings(uint8_t *out, const reading_header *header, const reading *rows, size_t count)
{
    uint8_t *at = out;
    if (count < 1 || count > MAX_ROWS || header->start_unix_s >> 63) return 0;
    at = copy(at, (const uint8_t *)"subak/e1", 8);
    at = copy(at, header->network, 32);
    at = copy(at, SCHEMA, 8);
    at = copy(at, header->subject, 32);
    at = copy(at, header->signer, 8);
    at = put(at, header->sequence, 8);
    at = put(at, header->start_unix_s, 8);
    at = put(at, header->interval_seconds, 4);
    at = put(at, count, 2);
    at = put(at, ROW_WORDS, 2);
    for (size_t i = 0; i < count; i++) {
        if ((rows[i].export_wh | rows[i].import_wh | rows[i].generation_wh) >> 63) return 0;
        at = put(at, rows[i].export_wh, 8);
        at = put(at, rows[i].import_wh, 8);
        at = put(at, rows[i].generation_wh, 8);
    }
    return (size_t)(at - out);
}

static int from_hex(uint8_t *out, size_t bytes, const char *text)
{
    if (strlen(text) != 2 * bytes) return 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned value;
        if (sscanf(text + 2 * i, "%2x", &value) != 1) return 0;
        out[i] = (uint8_t)value;
    }
    return 1;
}

int main(int argc, char **argv)
{
    static reading rows[MAX_ROWS];
    static uint8_t out[MAX_SIGNED_BYTES];
    reading_header header;
    size_t count = argc > 7 ? (size_t)(argc - 7) / 3 : 0;
    if (count < 1 || count > MAX_ROWS || (argc - 7) % 3 || !from_hex(header.network, 32, argv[1]) || !from_hex(header.subject, 32, argv[2]) ||
        !from_hex(header.signer, 8, argv[3])) {
        fprintf(stderr, "usage: %s NETWORK SUBJECT SIGNER SEQUENCE START_UNIX_S INTERVAL_SECONDS EXPORT_WH IMPORT_WH GENERATION_WH ...\n", argv[0]);
        return 2;
    }
    header.sequence = strtoull(argv[4], NULL, 10);
    header.start_unix_s = strtoull(argv[5], NULL, 10);
    header.interval_seconds = (uint32_t)strtoul(argv[6], NULL, 10);
    for (size_t i = 0; i < count; i++) {
        rows[i].export_wh = strtoull(argv[7 + 3 * i], NULL, 10);
        rows[i].import_wh = strtoull(argv[8 + 3 * i], NULL, 10);
        rows[i].generation_wh = strtoull(argv[9 + 3 * i], NULL, 10);
    }
    size_t size = encode_readings(out, &header, rows, count);
    if (size == 0) {
        fprintf(stderr, "a value is 2^63 or more\n");
        return 1;
    }
    for (size_t i = 0; i < size; i++) printf("%02x", out[i]);
    printf("\n");
    return 0;
}
