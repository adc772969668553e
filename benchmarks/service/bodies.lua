-- Sends the lines of a file one after the other, each thread from a place of its own, and prints what came back.
-- In a file whose first line has @round@, it stands for how often the thread has been through the file.
-- wrk -s bodies.lua URL -- FILE

local threads = {}

function setup(thread)
   thread:set("number", #threads)
   table.insert(threads, thread)
end

function init(args)
   lines = {}
   for line in io.lines(args[1]) do
      table.insert(lines, line)
   end
   place = math.floor(number * #lines / 2) % #lines
   round = 0
   changes = lines[1]:find("@round@", 1, true) ~= nil
   failed = 0
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
end

function request()
   place = place % #lines + 1
   local body = lines[place]
   if changes then
      if place == 1 then
         round = round + 1
      end
      body = body:gsub("@round@", "-" .. round .. "-")
   end
   return wrk.format(nil, nil, nil, body)
end

function response(status)
   if status ~= 200 then
      failed = failed + 1
   end
end

function done(summary, latency)
   local failures = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
   for _, thread in ipairs(threads) do
      failures = failures + thread:get("failed")
   end
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "failed": %d, "p50": %.6f, "p99": %.6f, "p99_9": %.6f, "longest": %.6f}\n',
      summary.requests, summary.duration / 1e6, failures,
      latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, latency:percentile(99.9) / 1e6, latency.max / 1e6))
end
