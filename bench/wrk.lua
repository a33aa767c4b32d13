--
-- Copyright (C) ngx_chat contributors
--

-- Reads requests for wrk from a file with lines "METHOD PATH TOKEN BODY",
-- separated by tabs; TOKEN and BODY may be empty:
--
--     wrk ... -s wrk.lua URL -- FILE
--
-- Without a FILE, wrk repeats the request of its command line.  This is much
-- cheaper for wrk, which would otherwise limit requests served from memory.
--
-- Prints {"rate":...,"p50_ms":...,"p99_ms":...,"count":...,"errors":...}

local requests, n, i


local function next_request()
    i = i % n + 1
    return requests[i]
end


function init(args)
    if not args[1] then
        return
    end

    requests = {}

    for line in io.lines(args[1]) do
        local method, path, token, body =
            line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
        local headers = {}

        if token ~= "" then
            headers["Cookie"] = "sessionid=" .. token
        end

        if body ~= "" then
            headers["Content-Type"] = "application/json"
        else
            body = nil
        end

        requests[#requests + 1] = wrk.format(method, path, headers, body)
    end

    n = #requests
    i = 0

    -- wrk looks afterwards whether there is one
    request = next_request
end


function done(summary, latency)
    local errors = summary.errors

    io.write(string.format(
        '{"rate":%.1f,"p50_ms":%.3f,"p99_ms":%.3f,"count":%d,"errors":%d}\n',
        summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        summary.requests,
        errors.connect + errors.read + errors.write + errors.status
        + errors.timeout))
end
