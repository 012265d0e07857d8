/* A plugin in C: the public route GET /bell-c says how often the bell was rung, the signed webhook POST /bell-c/ring rings it,
 * and it is well.
 *
 * Everything that a plugin without the SDK has to do stands here, against jackfield.h alone. A plugin in C has no panics to
 * catch; what it must not do is crash. */

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jackfield.h"

/* The manifest: a constant array, because the host reads it without loading the file. `x-enables` switches the plugin on as
 * soon as there is a secret; `x-secret` keeps it out of every log. */
JACKFIELD_EXPORT const char jackfield_manifest_bell_c[] =
    "{\"manifest\":1,\"id\":\"bell-c\",\"version\":\"1.0.0\",\"description\":\"A bell in C\",\"abi\":[1,1],"
    "\"target\":\"" JACKFIELD_TARGET "\",\"panic\":\"unwind\","
    "\"config_schema\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"secrets\"],\"properties\":{"
    "\"secrets\":{\"description\":\"Secrets the bell signs with\",\"x-secret\":true,\"x-enables\":true,"
    "\"x-env\":[\"BELL_C_SECRET\"],"
    "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}}}}";

/* What it declares. The host checks the signature, stores the delivery and answers its sender before a line of this file runs. */
static const char DESCRIPTOR[] =
    "{\"routes\":[{\"method\":\"GET\",\"path\":\"/bell-c\",\"policy\":\"public\"}],"
    "\"webhooks\":[{\"name\":\"ring\",\"path\":\"/bell-c/ring\","
    "\"verify\":{\"scheme\":{\"scheme\":\"hmac_sha256\",\"header\":\"x-bell-signature\",\"prefix\":\"sha256=\","
    "\"encoding\":\"hex\"},\"secrets\":{\"config\":\"secrets\"}},"
    "\"delivery_id\":{\"header\":\"x-bell-delivery\"},"
    "\"retry\":{\"attempts\":8,\"window_ms\":900000},\"max_body\":65536,\"timeout_ms\":10000,"
    "\"answer\":{\"status\":202,\"content_type\":\"application/json\",\"body\":\"{\\\"rung\\\":true}\"}}]}";

/* An instance begins with its vtable; the rest is ours. */
struct bell {
    jackfield_instance abi;
    const jackfield_host *host;
    atomic_uint rung;
};

/* ---- Bytes ---------------------------------------------------------------------------------------------------------- */

/* Bytes that nobody frees. */
static jackfield_buffer fixed(const char *text) {
    return (jackfield_buffer){(const uint8_t *)text, strlen(text), NULL, NULL};
}

/* A copy, which its holder frees. */
static jackfield_buffer copied(const void *bytes, size_t len) {
    uint8_t *copy = malloc(len ? len : 1);
    if (copy == NULL) {
        return fixed("");
    }
    memcpy(copy, bytes, len);
    return (jackfield_buffer){copy, len, copy, free};
}

static void let_go(jackfield_buffer *buffer) {
    if (buffer->free != NULL) {
        buffer->free(buffer->owner);
    }
    *buffer = fixed("");
}

/* ---- Futures that are finished when they are made ------------------------------------------------------------------- */

struct done {
    uint32_t status;
    jackfield_buffer value;
};

static uint32_t done_poll(void *data, const jackfield_waker *waker, jackfield_buffer *out) {
    struct done *done = data;
    (void)waker;
    *out = done->value;
    done->value = fixed("");
    return done->status;
}

static void done_drop(void *data) {
    struct done *done = data;
    let_go(&done->value);
    free(done);
}

static const jackfield_future_vtable DONE = {sizeof(jackfield_future_vtable), done_poll, done_drop};

static jackfield_future done(uint32_t status, jackfield_buffer value) {
    struct done *made = malloc(sizeof *made);
    if (made == NULL) {
        abort();
    }
    *made = (struct done){status, value};
    return (jackfield_future){made, &DONE};
}

/* ---- MessagePack: as much as a job needs ---------------------------------------------------------------------------- */

struct reader {
    const uint8_t *at, *end;
};

static uint64_t number(struct reader *in, size_t bytes) {
    uint64_t value = 0;
    if ((size_t)(in->end - in->at) < bytes) {
        in->at = in->end;
        return 0;
    }
    while (bytes-- > 0) {
        value = value << 8 | *in->at++;
    }
    return value;
}

/* The length of a text or of bytes; false for anything else, of which nothing is read then. */
static int blob(struct reader *in, jackfield_slice *out) {
    uint8_t kind;
    size_t len;
    if (in->at == in->end) {
        return 0;
    }
    kind = *in->at;
    if ((kind & 0xe0) == 0xa0) {
        in->at++;
        len = kind & 0x1f;
    } else if (kind >= 0xc4 && kind <= 0xc6) {
        in->at++;
        len = number(in, (size_t)1 << (kind - 0xc4));
    } else if (kind >= 0xd9 && kind <= 0xdb) {
        in->at++;
        len = number(in, (size_t)1 << (kind - 0xd9));
    } else {
        return 0;
    }
    if ((size_t)(in->end - in->at) < len) {
        in->at = in->end;
        return 0;
    }
    *out = (jackfield_slice){in->at, len};
    in->at += len;
    return 1;
}

/* The number of pairs of a map (`pairs`) or of elements of an array; false for anything else. */
static int many(struct reader *in, int pairs, size_t *count) {
    uint8_t kind = in->at < in->end ? *in->at : 0;
    uint8_t small = pairs ? 0x80 : 0x90, wide = pairs ? 0xde : 0xdc;
    if ((kind & 0xf0) == small) {
        in->at++;
        *count = kind & 0x0f;
    } else if (kind == wide || kind == wide + 1) {
        in->at++;
        *count = number(in, kind == wide ? 2 : 4);
    } else {
        return 0;
    }
    return 1;
}

/* Over one value, of any kind. */
static void skip(struct reader *in) {
    jackfield_slice text;
    size_t count, left = 1;
    for (; left > 0 && in->at < in->end; left--) {
        uint8_t kind;
        if (blob(in, &text)) {
            continue;
        }
        if (many(in, 1, &count)) {
            left += 2 * count;
            continue;
        }
        if (many(in, 0, &count)) {
            left += count;
            continue;
        }
        kind = *in->at++;
        if (kind >= 0xcc && kind <= 0xcf) {
            number(in, (size_t)1 << (kind - 0xcc));
        } else if (kind >= 0xd0 && kind <= 0xd3) {
            number(in, (size_t)1 << (kind - 0xd0));
        } else if (kind == 0xca || kind == 0xcb) {
            number(in, kind == 0xca ? 4 : 8);
        } else if (kind >= 0xd4 && kind <= 0xd8) {
            number(in, 1 + ((size_t)1 << (kind - 0xd4)));
        } else if (kind >= 0xc7 && kind <= 0xc9) {
            number(in, 1 + number(in, (size_t)1 << (kind - 0xc7)));
        }
    }
}

/* Goes to a member of the map that comes next. */
static int member(struct reader *in, const char *name) {
    size_t pairs;
    jackfield_slice key;
    if (!many(in, 1, &pairs)) {
        return 0;
    }
    while (pairs-- > 0) {
        if (!blob(in, &key)) {
            return 0;
        }
        if (key.len == strlen(name) && memcmp(key.ptr, name, key.len) == 0) {
            return 1;
        }
        skip(in);
    }
    return 0;
}

/* ---- The plugin ----------------------------------------------------------------------------------------------------- */

static void say(const struct bell *bell, uint64_t span, const char *fields) {
    static const char target[] = "bell_c";
    bell->host->vtable->event(bell->host, span, JACKFIELD_LEVEL_INFO,
                              (jackfield_slice){(const uint8_t *)target, sizeof target - 1},
                              (jackfield_slice){(const uint8_t *)fields, strlen(fields)});
}

/* One attempt of a job: `{"delivery":{"body":…},…}` in, `{"result":{"Ok":{"result":"done","summary":…}},"orphans":[]}` out. */
static jackfield_future run(struct bell *bell, jackfield_slice input, uint64_t span) {
    struct reader in = {input.ptr, input.ptr + input.len};
    jackfield_slice body;
    char summary[128];
    uint8_t out[256];
    size_t len = 0, said;
    if (!member(&in, "delivery") || !member(&in, "body") || !blob(&in, &body)) {
        return done(JACKFIELD_FAILED, fixed("the job has no body"));
    }
    said = (size_t)snprintf(summary, sizeof summary, "rung with %zu bytes, %u times by now", body.len,
                            atomic_fetch_add(&bell->rung, 1) + 1);
    say(bell, span, "{\"message\":\"the bell was rung\"}");
#define PUT(text) (memcpy(out + len, text, sizeof text - 1), len += sizeof text - 1)
    PUT("\x82\xa6result\x81\xa2Ok\x82\xa6result\xa4" "done\xa7summary\xd9");
    out[len++] = (uint8_t)said;
    memcpy(out + len, summary, said);
    len += said;
    PUT("\xa7orphans\x90");
    return done(JACKFIELD_READY, copied(out, len));
}

static jackfield_future call(const jackfield_instance *instance, uint32_t op, jackfield_slice input, uint64_t span) {
    struct bell *bell = (struct bell *)instance;
    switch (op) {
    case JACKFIELD_OP_CREATE:
        say(bell, span, "{\"message\":\"the bell is up\"}");
        return done(JACKFIELD_READY, fixed(""));
    case JACKFIELD_OP_RUN:
        return run(bell, input, span);
    case JACKFIELD_OP_HEALTH:
        return done(JACKFIELD_READY, fixed("{\"status\":\"healthy\"}"));
    case JACKFIELD_OP_RECONFIGURE:
        /* The host reads the secrets itself, so another one needs no new instance. */
        return done(JACKFIELD_READY, fixed("true"));
    case JACKFIELD_OP_DRAIN:
        return done(JACKFIELD_READY, fixed(""));
    default:
        return done(JACKFIELD_FAILED, fixed("the bell does not know this operation"));
    }
}

/* A body of one piece. */
struct page {
    char text[64];
    size_t len;
    int sent;
};

static uint32_t page_poll(void *data, const jackfield_waker *waker, jackfield_buffer *out) {
    struct page *page = data;
    (void)waker;
    if (page->sent) {
        return JACKFIELD_ENDED;
    }
    page->sent = 1;
    *out = copied(page->text, page->len);
    return JACKFIELD_READY;
}

static uint32_t page_remaining(const void *data, uint64_t *lower) {
    const struct page *page = data;
    *lower = page->sent ? 0 : page->len;
    return 1;
}

static const jackfield_body_vtable PAGE = {sizeof(jackfield_body_vtable), page_poll, page_remaining, free};

/* An answer that is there when it is asked for. */
static uint32_t answer_poll(void *data, const jackfield_waker *waker, jackfield_response *out, jackfield_buffer *error) {
    static const jackfield_header HEADERS[] = {
        {{(const uint8_t *)"content-type", 12}, {(const uint8_t *)"text/plain; charset=utf-8", 25}},
    };
    struct bell *bell = *(struct bell **)data;
    struct page *page = malloc(sizeof *page);
    (void)waker;
    if (page == NULL) {
        *error = fixed("out of memory");
        return JACKFIELD_FAILED;
    }
    page->sent = 0;
    page->len = (size_t)snprintf(page->text, sizeof page->text, "rung %u times\n", atomic_load(&bell->rung));
    *out = (jackfield_response){.size = sizeof *out,
                                .status = 200,
                                .headers = HEADERS,
                                .headers_len = sizeof HEADERS / sizeof *HEADERS,
                                .body = {page, &PAGE}};
    return JACKFIELD_READY;
}

static const jackfield_response_future_vtable ANSWER = {sizeof(jackfield_response_future_vtable), answer_poll, free};

static jackfield_response_future serve(const jackfield_instance *instance, const jackfield_request_head *head,
                                       jackfield_body body) {
    /* The route table leads one route here, so the head says nothing new. The body is ours, and not needed. */
    struct bell **data = malloc(sizeof *data);
    (void)head;
    body.vtable->drop(body.data);
    if (data == NULL) {
        abort();
    }
    *data = (struct bell *)instance;
    return (jackfield_response_future){data, &ANSWER};
}

static void retire(const jackfield_instance *instance) {
    /* It has no threads or tasks to end. */
    (void)instance;
}

static void release(const jackfield_instance *instance) {
    struct bell *bell = (struct bell *)instance;
    bell->host->vtable->release(bell->host);
    free(bell);
}

static const jackfield_instance_vtable INSTANCE = {sizeof(jackfield_instance_vtable), call, serve, retire, release, 0};

/* ---- The entry ------------------------------------------------------------------------------------------------------ */

static uint32_t descriptor(jackfield_buffer *out) {
    *out = fixed(DESCRIPTOR);
    return JACKFIELD_READY;
}

static uint32_t validate(jackfield_slice config, jackfield_buffer *out) {
    /* The host has checked it against the schema, which says all there is to say. */
    (void)config;
    *out = fixed("");
    return JACKFIELD_READY;
}

static const jackfield_instance *instance(const jackfield_host *host, jackfield_buffer *out) {
    struct bell *bell = malloc(sizeof *bell);
    if (bell == NULL) {
        host->vtable->release(host);
        *out = fixed("out of memory");
        return NULL;
    }
    *out = fixed("");
    bell->abi.vtable = &INSTANCE;
    bell->host = host;
    atomic_init(&bell->rung, 0);
    return &bell->abi;
}

static const jackfield_entry ENTRY = {
    sizeof(jackfield_entry), JACKFIELD_MAJOR, JACKFIELD_MINOR, descriptor, validate, instance,
};

JACKFIELD_EXPORT const jackfield_entry *jackfield_entry_bell_c(void) {
    return &ENTRY;
}
