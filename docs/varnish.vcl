# Varnish in front of Holdfast's signed URLs: cdn_base_url is the address of this cache, and cdn_purge_url the one that
# the server itself can reach it at. Everything else than signed URLs is not for it.
vcl 4.1;

import std;

backend holdfast {
    .host = "127.0.0.1";
    .port = "8080";
}

# Who may tell it to drop something: the server.
acl purgers {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403));
        }
        # Any of the keys, as a whole word of the header that was kept with the object.
        set req.http.X-Keys = regsuball(req.http.Surrogate-Key, " +", "|");
        if (req.http.X-Keys !~ "^[a-z0-9|-]+$") {
            return (synth(400));
        }
        if (std.ban("obj.http.Surrogate-Key ~ (^|\s)(" + req.http.X-Keys + ")(\s|$)")) {
            return (synth(200, "dropped"));
        }
        return (synth(400, std.ban_error()));
    }
    if (req.url !~ "^/api/v1/signed/[^?]+$") {
        return (synth(404));
    }
    # They have no effect on a signed URL, and would keep its answer from being shared.
    unset req.http.Cookie;
    unset req.http.Authorization;
    # A range is of the plain bytes, not of the compressed ones that are kept here.
    if (req.http.Range) {
        unset req.http.Accept-Encoding;
    }
}

sub vcl_backend_response {
    # Nothing is served for longer than the server says, whatever happens to it.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
}

sub vcl_deliver {
    unset resp.http.Surrogate-Key;
}
