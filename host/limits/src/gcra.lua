-- Decides one request of a caller under all limits of its class: `admit` of gcra.rs.
-- KEYS[1]: the caller. ARGV: interval and window of each limit, in microseconds.
-- Gives whether it is allowed (1 or 0), the time, and each limit's state after it.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local known = {}
for full in string.gmatch(redis.call('GET', KEYS[1]) or '', '%d+') do
  known[#known + 1] = tonumber(full)
end
local answer, beyond = {1, now}, false
for i = 1, #ARGV / 2 do
  local interval, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local full = math.max(known[i] or now, now)
  if full > now + window then
    full, beyond = now + window, true
  end
  if full + interval > now + window then
    answer[1] = 0
  end
  answer[i + 2] = full
end
-- A refusal changes nothing, but what lies beyond a window must not stay there: it would refuse until that time comes.
if answer[1] == 1 or beyond then
  local fulls, last = {}, now
  for i = 1, #ARGV / 2 do
    local full = answer[i + 2]
    if answer[1] == 1 then
      full = full + tonumber(ARGV[2 * i - 1])
    end
    answer[i + 2] = full
    -- Not tostring: it writes 14 digits, and a time has 16.
    fulls[i] = string.format('%.0f', full)
    last = math.max(last, full)
  end
  -- One more, because Redis counts the milliseconds from the last whole one.
  redis.call('SET', KEYS[1], table.concat(fulls, ' '), 'PX', math.ceil((last - now) / 1000) + 1)
end
return answer
