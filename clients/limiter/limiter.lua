--[[
The account limiter: one script, one atomic step a call. It is run by clients/limiter/limiter.py, which
prepends the constants of core/account/adaptive_limit.py (REFUSED_MIN, REFUSED_SHARE, PROBE_US, PROBE_GROWTH,
PROBE_US_MAX, PROBE_IDLE_US). Its twin in plain Python is tests/support/limiter_model.py; one suite holds both.

All times are integer microseconds of this server's TIME; no worker's clock is asked.

KEYS  (one hash tag, so one slot of a cluster)
  1 leases  ZSET  lease -> when it expires. Its size is the calls in flight.
  2 calls   HASH  lease -> "admitted leaves tokens" of calls in flight: when it was admitted, when
                  its request and tokens leave the window, and the tokens reserved.
  3 ticks   ZSET  every moment at which something leaves the window (member = score).
  4 window  HASH  "r", "t": requests and tokens in the window now;
                  "r<tick>", "t<tick>": how many of them leave at that tick.
  5 state   HASH  paused: why, while paused.       hold: nothing is admitted before (cool-down).
                  gauge:<kind>: a learned limit, JSON of core.account.adaptive_limit.Gauge (seconds).
                  refused_at, refused, admitted: since the first refusal after a success.
                  probe_every, probe_at: while everything is refused.
                  probing_since: since when it is, without a pause in the asking.
                  service: a call's mean duration.
  6 ended   ZSET  lease -> when it ended; kept 10 s, so that a renewal that crosses the end on the
                  wire does not take the slot again.
  7 waits   HASH  "<kind>:<bucket>": calls that waited so long for kind (none: for nothing);
                  "<kind>:us": how long in all. Buckets: core/account/wait_histogram.py. Counters, for metrics.
  All keys expire a day after their last use.

MEMORY  A moment of leaving is rounded up to the next 1/10,000 of the window: never early, at most
  0.01 % late, and at most 10,000 ticks (and those of the guard) whatever the tier. Calls in flight
  and ended are the rest: 7 MB at 10,000 in flight and 200,000 requests a minute.

ARGV  1 command, 2 window, 3 guard, 4 clock ('' in production; a test's time otherwise), then:
  acquire  lease tokens ttl concurrency rpm tpm [kind bucket us]...
           -> {1} admitted, or already was; {0, wait, kind}: took nothing. kind: concurrency, rpm,
           tpm, paused, cooling, refused. wait is when enough leaves (or a shorter time, where
           more than 200 ticks must leave), for concurrency a share of a mean call. What the call
           has waited before is added to waits when it is admitted.
  renew    lease ttl -> 1 it was live; 0 it was not and is registered (again): after FLUSHALL or
           an expiry the call is still running, so it must be counted; -1 it has ended.
  settle   lease tokens late sent -> 1 ended, 0 not known. tokens '' keeps the reservation; late:
           the part of tokens counted from now (completion), the rest counts from the arrival;
           sent: how long after its admission the call was sent.
  cancel   lease -> 1, 0. Gives back slot, request and tokens.
  refused  lease kind requests tokens
           -> {now, admitted or -1, in flight, requests, tokens, 1 if probing, gauge JSON or ''}.
           The call ended refused; requests (1 or 0) and tokens ('' as reserved) stay in the
           window. Counts towards "everything is refused". The numbers are those before the end.
  learn    kind old new hold -> 1 the gauge was old and is new now, and nothing is admitted for
           hold; 0 somebody else was faster. kind '': the hold alone.
  pause    reason -> 1        resume -> 1        recovered -> 1
  state    concurrency rpm tpm
           -> {now, in flight, requests, tokens, paused or '', probe_every or 0, how long it has
           been probing or 0, what would keep a call of the window's mean size waiting or '', the
           limits allowed now (3), their gauges (3, JSON or '')}
  waited   [kind bucket us]... -> 1. Adds to waits what was waited for without an admission.
  waits    -> {field, value, ...} of waits

ONE CALL IN THE WINDOW  The provider counts a request when it arrives, between its admission and
  its reply. So it leaves our window a full window after whichever is first: its reply, or its
  sending + guard (the longest a request is under way). Tokens it charges with the reply
  (completion) leave a window after the reply. Until a call ends it is taken to have been sent
  at its admission; only the completion of a call longer than a window comes unreserved.
]]
local leases, calls, ticks, window, state, ended, waits =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local command, span, guard = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local tick = math.max(1, math.floor(span / 10000))
local DAY_MS, ENDED_US = 86400000, 10000000

-- Lua writes large numbers as 1.8e+15, which is no score and no field.
local function text(number)
  return string.format('%.0f', number)
end

local function server_time()
  if ARGV[4] ~= '' then
    return tonumber(ARGV[4])
  end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local now = server_time()

local function leaving(moment)
  return math.ceil(moment / tick) * tick
end

local function count(leaves, requests, tokens)
  local at = text(leaves)
  if requests ~= 0 then
    redis.call('HINCRBY', window, 'r' .. at, text(requests))
    redis.call('HINCRBY', window, 'r', text(requests))
  end
  if tokens ~= 0 then
    redis.call('HINCRBY', window, 't' .. at, text(tokens))
    redis.call('HINCRBY', window, 't', text(tokens))
  end
  redis.call('ZADD', ticks, at, at)
end

-- Returns the requests and tokens that they held.
local function drop_ticks(gone)
  local fields = {}
  for i, at in ipairs(gone) do
    fields[2 * i - 1], fields[2 * i] = 'r' .. at, 't' .. at
  end
  local values, requests, tokens = redis.call('HMGET', window, unpack(fields)), 0, 0
  for i = 1, #values, 2 do
    requests = requests + (tonumber(values[i] or 0) or 0)
    tokens = tokens + (tonumber(values[i + 1] or 0) or 0)
  end
  -- Not -requests: Lua writes minus zero as -0, which is no integer.
  redis.call('HINCRBY', window, 'r', text(0 - requests))
  redis.call('HINCRBY', window, 't', text(0 - tokens))
  redis.call('HDEL', window, unpack(fields))
  redis.call('ZREM', ticks, unpack(gone))
  return requests, tokens
end

-- Moments that lie further ahead than any can: the server's clock was set back, and an account with a
-- full window would wait until it is there again. What they hold counts as if it had begun now.
local function pull_back()
  local latest, leaves = now + 2 * (span + guard), leaving(now + guard + span)
  local far = redis.call('ZRANGEBYSCORE', ticks, '(' .. text(latest), '+inf', 'LIMIT', 0, 100)
  if #far == 0 then
    return
  end
  while #far > 0 do
    count(leaves, drop_ticks(far))
    far = redis.call('ZRANGEBYSCORE', ticks, '(' .. text(latest), '+inf', 'LIMIT', 0, 100)
  end
  local held = redis.call('HGETALL', calls)
  for i = 1, #held, 2 do
    local left, reserved = held[i + 1]:match('%d+ (%d+) (%d+)')
    if tonumber(left) > latest then
      redis.call('HSET', calls, held[i], text(now) .. ' ' .. text(leaves) .. ' ' .. reserved)
    end
  end
  local hold = redis.call('HGET', state, 'hold')
  if hold and tonumber(hold) > latest then
    redis.call('HSET', state, 'hold', text(leaves))
  end
end

-- What has left the window; each tick is touched once in its life.
local function slide()
  local gone = redis.call('ZRANGEBYSCORE', ticks, '-inf', text(now), 'LIMIT', 0, 100)
  if #gone == 0 then
    return
  end
  while #gone > 0 do
    drop_ticks(gone)
    gone = redis.call('ZRANGEBYSCORE', ticks, '-inf', text(now), 'LIMIT', 0, 100)
  end
  if redis.call('EXISTS', ticks) == 0 then
    redis.call('DEL', window)
  end
end

-- A dead holder's slot is free; its request and tokens stay, they may have been sent.
local function expire()
  local dead = redis.call('ZRANGEBYSCORE', leases, '-inf', text(now), 'LIMIT', 0, 500)
  while #dead > 0 do
    redis.call('ZREM', leases, unpack(dead))
    redis.call('HDEL', calls, unpack(dead))
    dead = redis.call('ZRANGEBYSCORE', leases, '-inf', text(now), 'LIMIT', 0, 500)
  end
end

local function tidy()
  slide()
  pull_back()
  expire()
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', text(now - ENDED_US))
end

local function keep_a_day()
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, DAY_MS)
  end
end

-- core.account.adaptive_limit.effective
local function allowed(gauge, configured)
  if not gauge then
    return configured
  end
  local g, at = cjson.decode(gauge), now / 1000000
  local grown = math.min(g.ceiling, g.limit + g.slope * math.max(0, at - g.grows_at))
  local felt_for = g.probe_slope * math.max(0, at - g.probe_at)
  return math.max(1, math.min(configured, math.floor(grown + felt_for)))
end

-- Until ``need`` of what (r or t) has left the window.
local function until_free(what, need)
  local freed, last = 0, now
  for from = 0, 150, 50 do
    local next_ticks = redis.call('ZRANGE', ticks, from, from + 49)
    if #next_ticks == 0 then
      break
    end
    local fields = {}
    for i, at in ipairs(next_ticks) do
      fields[i] = what .. at
    end
    for i, value in ipairs(redis.call('HMGET', window, unpack(fields))) do
      freed, last = freed + (tonumber(value or 0) or 0), tonumber(next_ticks[i])
      if freed >= need then
        return last - now
      end
    end
  end
  return math.max(1, last - now)
end

-- Nobody knows when a call ends: a twentieth of a mean call costs at most 2.5 % of a slot's time,
-- and with many in flight one ends sooner.
local function until_slot(service, in_flight)
  local mean = tonumber(service or 0) or 0
  local share = math.min(mean / 20, mean / in_flight)
  return math.floor(math.max(5000, math.min(100000, share)))
end

local function read_state()
  return redis.call('HMGET', state, 'paused', 'hold', 'probe_every', 'probe_at', 'refused_at',
    'service', 'gauge:concurrency', 'gauge:rpm', 'gauge:tpm', 'probing_since')
end

local function stopped(paused, hold, probe_every, probe_at)
  if paused then
    return { 0, 2000000, 'paused' }
  elseif hold and tonumber(hold) > now then
    return { 0, tonumber(hold) - now, 'cooling' }
  elseif probe_every and tonumber(probe_at) > now then
    return { 0, tonumber(probe_at) - now, 'refused' }
  end
  return nil
end

-- The limit that binds longest, or nil. ``most``: the limits to keep now, concurrency, rpm, tpm.
local function bound(most, tokens, service)
  local in_flight = redis.call('ZCARD', leases)
  local sums = redis.call('HMGET', window, 'r', 't')
  local requests, spent = tonumber(sums[1] or 0) or 0, tonumber(sums[2] or 0) or 0
  local wait, kind = -1, nil
  if requests + 1 > most[2] then
    wait, kind = until_free('r', requests + 1 - most[2]), 'rpm'
  end
  -- A call larger than the whole limit goes when it is alone in the window.
  if spent > 0 and spent + tokens > most[3] then
    local free_in = until_free('t', math.min(spent, spent + tokens - most[3]))
    if free_in > wait then
      wait, kind = free_in, 'tpm'
    end
  end
  if in_flight + 1 > most[1] and wait < 0 then
    wait, kind = until_slot(service, in_flight), 'concurrency'
  end
  return kind and { 0, wait, kind }
end

local function admit(lease, tokens, ttl)
  local leaves = leaving(now + guard + span)
  redis.call('ZADD', leases, text(now + ttl), lease)
  redis.call('HSET', calls, lease, text(now) .. ' ' .. text(leaves) .. ' ' .. text(tokens))
  redis.call('ZREM', ended, lease)
  count(leaves, 1, tokens)
end

-- What the gauges leave of the configured limits, concurrency, rpm, tpm.
local function limits(s, configured)
  local most = {}
  for i = 1, 3 do
    most[i] = allowed(s[6 + i], configured[i])
  end
  return most
end

-- What keeps a call waiting, or nil.
local function waiting(s, most, tokens)
  return stopped(s[1], s[2], s[3], s[4]) or bound(most, tokens, s[6])
end

local function add_waits(from)
  for i = from, #ARGV, 3 do
    redis.call('HINCRBY', waits, ARGV[i] .. ':' .. ARGV[i + 1], 1)
    if ARGV[i + 2] ~= '0' then
      redis.call('HINCRBY', waits, ARGV[i] .. ':us', ARGV[i + 2])
    end
  end
end

local function acquire(lease, tokens, ttl, configured)
  tidy()
  if redis.call('ZSCORE', leases, lease) then
    return { 1 }
  end
  local s = read_state()
  local no = waiting(s, limits(s, configured), tokens)
  if no then
    return no
  end
  admit(lease, tokens, ttl)
  if s[5] then
    redis.call('HINCRBY', state, 'admitted', 1)
  end
  if s[3] then
    if now - s[4] > PROBE_IDLE_US then
      redis.call('HSET', state, 'probing_since', text(now))
    end
    redis.call('HSET', state, 'probe_at', text(now + s[3]))
  end
  add_waits(11)
  keep_a_day()
  return { 1 }
end

-- Ends a call: its slot is free, and what it holds in the window becomes requests and tokens
-- (nil: the tokens it had reserved), which leave a window after the reply or the sending. Without
-- ``sent`` it is the reply. Returns when it was admitted, or nil if it is not known.
local function finish(lease, requests, tokens, sent)
  local call = redis.call('HGET', calls, lease)
  if not call then
    return nil
  end
  local admitted, left, reserved = call:match('(%d+) (%d+) (%d+)')
  left, reserved = tonumber(left), tonumber(reserved)
  if left > now then
    local arrived = sent and math.min(now, admitted + sent + guard) or now
    count(left, -1, -reserved)
    count(leaving(arrived + span), requests, tokens or reserved)
  end
  redis.call('ZREM', leases, lease)
  redis.call('HDEL', calls, lease)
  redis.call('ZADD', ended, text(now), lease)
  return tonumber(admitted)
end

local function end_refusals()
  redis.call('HDEL', state, 'refused_at', 'refused', 'admitted', 'probe_every', 'probe_at',
    'probing_since')
end

local function succeeded(admitted)
  local since, service = unpack(redis.call('HMGET', state, 'refused_at', 'service'))
  if since and admitted >= tonumber(since) then
    end_refusals()
  end
  local mean = tonumber(service or 0) or 0
  mean = mean == 0 and now - admitted or mean + (now - admitted - mean) / 16
  redis.call('HSET', state, 'service', text(mean))
end

local function settle(lease, tokens, late, sent)
  if tokens == nil then
    return finish(lease, 1, nil, sent) and 1 or 0
  end
  local call = redis.call('HGET', calls, lease)
  if not call then
    return 0
  end
  -- What the reservation did not cover cannot have been counted before now.
  late = math.min(tokens, math.max(late, tokens - tonumber(call:match('(%d+)$'))))
  succeeded(finish(lease, 1, tokens - late, sent))
  if late > 0 then
    count(leaving(now + span), 0, late)
  end
  return 1
end

local function start_probing()
  redis.call('HSET', state, 'refused_at', text(now), 'refused', 0, 'admitted', 0,
    'probe_every', PROBE_US, 'probe_at', text(now + PROBE_US), 'probing_since', text(now))
end

local function probe_less(every)
  every = math.min(PROBE_US_MAX, math.floor(every * PROBE_GROWTH))
  redis.call('HSET', state, 'probe_every', text(every), 'probe_at', text(now + every))
end

-- Refusals of calls that were admitted before the first one are the same news, not more of it.
local function strike(admitted)
  local s = redis.call('HMGET', state, 'refused_at', 'probe_every', 'admitted')
  if not s[1] then
    redis.call('HSET', state, 'refused_at', text(now), 'refused', 0, 'admitted', 0)
  elseif admitted < tonumber(s[1]) then
    return
  elseif s[2] then
    probe_less(tonumber(s[2]))
  else
    local refused = redis.call('HINCRBY', state, 'refused', 1)
    if refused >= REFUSED_MIN and refused >= REFUSED_SHARE * tonumber(s[3]) then
      start_probing()
    end
  end
end

local function usage()
  local sums = redis.call('HMGET', window, 'r', 't')
  return redis.call('ZCARD', leases), tonumber(sums[1] or 0) or 0, tonumber(sums[2] or 0) or 0
end

local function refused(lease, kind, stay, tokens_stay)
  tidy()
  local in_flight, requests, tokens = usage()
  local admitted = finish(lease, stay, tokens_stay)
  if admitted then
    strike(admitted)
    keep_a_day()
  end
  local probing = redis.call('HEXISTS', state, 'probe_every')
  local gauge = kind ~= '' and redis.call('HGET', state, 'gauge:' .. kind) or ''
  return { now, admitted or -1, in_flight, requests, tokens, probing, gauge }
end

local function cancel(lease)
  local admitted = finish(lease, 0, 0)
  local since = redis.call('HGET', state, 'refused_at')
  if admitted and since and admitted >= tonumber(since) then
    redis.call('HINCRBY', state, 'admitted', -1)
  end
  return admitted and 1 or 0
end

local function renew(lease, ttl)
  tidy()
  if redis.call('ZSCORE', ended, lease) then
    return -1
  end
  local new = redis.call('ZADD', leases, text(now + ttl), lease)
  if new == 1 then
    -- What it holds in the window is not known (any more), so there is nothing to correct.
    redis.call('HSET', calls, lease, text(now) .. ' 0 0')
  end
  keep_a_day()
  return 1 - new
end

local function learn(kind, old, new, hold)
  if kind ~= '' then
    if (redis.call('HGET', state, 'gauge:' .. kind) or '') ~= old then
      return 0
    end
    redis.call('HSET', state, 'gauge:' .. kind, new)
  end
  local held = tonumber(redis.call('HGET', state, 'hold') or 0)
  redis.call('HSET', state, 'hold', text(math.max(held, now + hold)))
  keep_a_day()
  return 1
end

local function report(configured)
  tidy()
  local s = read_state()
  local most = limits(s, configured)
  local in_flight, requests, tokens = usage()
  local no = waiting(s, most, tokens / math.max(1, requests))
  local probing_for = s[3] and now - (s[10] or s[5]) or 0
  return { now, in_flight, requests, tokens, s[1] or '', tonumber(s[3] or 0), probing_for,
    no and no[3] or '', most[1], most[2], most[3], s[7] or '', s[8] or '', s[9] or '' }
end

local function number(i)
  return tonumber(ARGV[i])
end

local commands = {
  acquire = function()
    return acquire(ARGV[5], number(6), number(7), { number(8), number(9), number(10) })
  end,
  renew = function() return renew(ARGV[5], number(6)) end,
  settle = function() return settle(ARGV[5], number(6), number(7), number(8)) end,
  cancel = function() return cancel(ARGV[5]) end,
  refused = function() return refused(ARGV[5], ARGV[6], number(7), number(8)) end,
  learn = function() return learn(ARGV[5], ARGV[6], ARGV[7], number(8)) end,
  pause = function()
    redis.call('HSET', state, 'paused', ARGV[5])
    keep_a_day()
    return 1
  end,
  resume = function() redis.call('HDEL', state, 'paused') return 1 end,
  recovered = function() end_refusals() return 1 end,
  state = function() return report({ number(5), number(6), number(7) }) end,
  waited = function()
    add_waits(5)
    keep_a_day()
    return 1
  end,
  waits = function() return redis.call('HGETALL', waits) end,
}
return commands[command]()
