--
-- Copyright (C) ngx_chat contributors
--

-- Requests for wrk, one after another, from a file of lines "METHOD PATH TOKEN
-- BODY", separated by tabs; the last two may be empty:
--
--     wrk ... -s wrk.lua URL -- FILE
--
-- Without a FILE wrk repeats the one of its command line, which costs it much
-- less: where the answer comes from memory, wrk would be what is measured.
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
