-- The script for wrk: prepares the requests, sets their pace, and prints the results as one line of JSON.
-- Arguments: 1. "me" or "login". 2. A file with a token or a login's JSON on each line. 3. The mean pause of a
-- connection before each request, in milliseconds; 0 for none.
local prepared, at = {}, 0

function init(args)
  local kind, file, pause = args[1], args[2], tonumber(args[3])
  for line in io.lines(file) do
    if kind == "me" then
      local headers = { ["Authorization"] = "Bearer " .. line }
      prepared[#prepared + 1] = wrk.format("GET", "/api/accounts/me/", headers)
    else
      local headers = { ["Content-Type"] = "application/json" }
      prepared[#prepared + 1] = wrk.format("POST", "/api/accounts/api_auth/", headers, line)
    end
  end
  -- Start at a random line. A load's end aborts the requests in progress, which would otherwise always be the same
  -- ones.
  math.randomseed(os.time())
  at = math.random(#prepared)
  if pause > 0 then
    -- Vary the pause. Otherwise all connections would send at the same moment.
    delay = function() return math.random(math.floor(pause / 2), math.floor(pause * 3 / 2)) end
  end
end

function request()
  at = at % #prepared + 1
  return prepared[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"refused":%d,"broken":%d,"micros":%d,"mean":%.1f,"p50":%d,"p99":%d}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration, latency.mean, latency:percentile(50), latency:percentile(99)))
end
