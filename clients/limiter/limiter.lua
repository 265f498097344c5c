--[[
The account limiter: one script, one atomic step for each call. clients/limiter/limiter.py runs it and
prepends the constants of core/account/adaptive_limit.py (REFUSED_MIN, REFUSED_SHARE, PROBE_US, PROBE_GROWTH,
PROBE_US_MAX, PROBE_IDLE_US) and of core/account/auto_limit.py (START: the first limit of calls in flight if it finds
itself, else nil; COHORT_MIN, FAILED_MIN, FAILED_SHARE). tests/support/limiter_model.py is the same in plain Python; one suite tests both.

All times are integer microseconds of this server's TIME. Workers' clocks are not used.

KEYS  (one hash tag, so one slot of a cluster)
  1 leases  ZSET  lease -> when it expires. Its size is the number of calls in flight.
  2 calls   HASH  lease -> "admitted leaves tokens" of calls in flight: when it was admitted, when
                  its request and tokens leave the window, and its reserved tokens.
  3 ticks   ZSET  every moment at which something leaves the window (member = score).
  4 window  HASH  "r", "t": requests and tokens in the window now;
                  "r<tick>", "t<tick>": how many of them leave at that tick.
  5 state   HASH  paused: the reason, while paused.  hold: admit nothing before it (cool-down).
                  gauge:<kind>: JSON of core.account.adaptive_limit.AdaptiveLimit (seconds).
                  refused_at, refused, admitted: since the first refusal after a success.
                  probe_every, probe_at: while everything is refused.
                  probing_since: start of the probing, without a pause in the requests.
                  service: a call's mean duration.
  6 ended   ZSET  lease -> when it ended; kept 10 s, so that a renewal that arrives after the end
                  does not take the slot again.
  7 waits   HASH  "<kind>:<bucket>": calls that waited that long for kind (none: did not wait);
                  "<kind>:us": total wait. Buckets: core/account/wait_histogram.py. For metrics.
  8 cohort  HASH  calls that are compared with others, if the limit finds itself (auto_limit.py).
                  "m<lease>": those in flight; open: their number; n: all; need: how many are
                  wanted; last: when the last was admitted; flight: calls in flight at their
                  admissions together; ended, failed: all calls that were
                  admitted since the limit has moved, and those of 5xx and timeouts;
                  "c<kind>", "u<kind>", "q<kind>": answered calls of the kind, their microseconds
                  together, and the squares of their milliseconds together.
                  Deleted when another limit of calls in flight is learned.
  All keys expire a day after their last use.

MEMORY  The time of leaving is rounded up to the next 1/10,000 of the window: never early, at most
  0.01 % late, and at most 10,000 ticks (plus those of the guard) in any tier. The rest is calls in
  flight and ended: 7 MB at 10,000 in flight and 200,000 requests a minute.

ARGV  1 command, 2 window, 3 guard, 4 clock ('' in production, else a test's time), then:
  acquire  lease tokens ttl concurrency rpm tpm [kind bucket us]...
           -> {1} admitted, now or before; {0, wait, kind}: not admitted. kind: concurrency, rpm,
           tpm, paused, cooling, refused. wait: time until enough leaves the window (less if more
           than 200 ticks must leave); for concurrency a share of a mean call. When the call is
           admitted, its earlier waits are added to waits.
  renew    lease ttl -> 1 it was live; 0 it was not, and is registered (again): after FLUSHALL or
           an expiry the call is still running, so it must be counted; -1 it has ended.
  settle   lease tokens late sent kind -> {1 ended, 0 unknown; as below}. kind: of call, '' not compared. tokens '' keeps the reservation. late:
           the part of tokens counted from now (completion); the rest counts from the arrival.
           sent: how long after its admission the call was sent.
  cancel   lease -> 1, 0. Releases slot, request and tokens.
  refused  lease kind requests tokens
           -> {now, admitted or -1, in flight, requests, tokens, 1 if probing, limit JSON or '';
           as below}.
           The call ended refused. requests (1 or 0) and tokens ('' as reserved) stay in the
           window. Counts towards "everything is refused". The numbers are those before the end.
           settle and refused also return {time, JSON of the limit of calls in flight, calls in flight if too many fail, else -1, {field,
           value, ...} of cohort} once nine in ten calls of a full cohort have ended, or too many fail.
  learn    kind old new hold -> 1 the adaptive limit was old and is new now, and nothing is
           admitted for hold; 0 another process was faster. kind '': only the hold.
  pause    reason -> 1        resume -> 1        recovered -> 1
  state    concurrency rpm tpm
           -> {now, in flight, requests, tokens, paused or '', probe_every or 0, how long it has
           been probing or 0, why a call of the window's mean size would wait or '', the limits
           allowed now (3), the adaptive limits (3, JSON or '')}
  waited   [kind bucket us]... -> 1. Adds waits that did not end in an admission.
  waits    -> {field, value, ...} of waits

ONE CALL IN THE WINDOW  The provider counts a request when it arrives, between its admission and
  its reply. So it leaves our window a full window after the earlier of: its reply, or its sending
  + guard (the longest time a request travels). Tokens that are charged with the reply
  (completion) leave a window after the reply. Until a call ends, we assume it was sent at its
  admission. Only the completion of a call longer than a window is not reserved when it arrives.
]]
local leases, calls, ticks, window, state, ended, waits, cohort =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local command, span, guard = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local tick = math.max(1, math.floor(span / 10000))
local DAY_MS, ENDED_US = 86400000, 10000000

-- Lua writes large numbers as 1.8e+15, which is not a valid score or field.
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

-- Returns the requests and tokens of the dropped ticks.
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
  -- Not -requests: Lua writes minus zero as -0, which Redis does not take for an integer.
  redis.call('HINCRBY', window, 'r', text(0 - requests))
  redis.call('HINCRBY', window, 't', text(0 - tokens))
  redis.call('HDEL', window, unpack(fields))
  redis.call('ZREM', ticks, unpack(gone))
  return requests, tokens
end

-- Ticks further ahead than possible: the server's clock was set back, and an account with a full
-- window would wait until the old time comes again. Their requests and tokens count from now.
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

-- Drop what has left the window. Each tick is touched only once.
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

-- Free the slots of dead holders. Their requests and tokens stay, because they may have been sent.
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

-- A limit that was learned in the other way, before the settings changed, is not used.
local function decoded(gauge, finds_itself)
  local g = gauge and cjson.decode(gauge)
  return g and (type(g.climb) == 'table') == finds_itself and g or nil
end

-- core.account.adaptive_limit.effective
local function allowed(gauge, configured, start)
  local g, at = decoded(gauge, start ~= nil), now / 1000000
  if not g then
    return start and math.min(start, configured) or configured
  end
  local grown = math.min(g.ceiling, g.limit + g.slope * math.max(0, at - g.grows_at))
  local felt_for = g.probe_slope * math.max(0, at - g.probe_at)
  return math.max(1, math.min(configured, math.floor(grown + felt_for)))
end

-- The time until ``need`` of what (r or t) has left the window.
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

-- The end of a call is unknown. Waiting a twentieth of a mean call costs at most 2.5 % of a slot's
-- time; with many calls in flight one ends sooner.
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

-- The limit that makes the call wait longest, or nil. ``most``: concurrency, rpm, tpm allowed now.
local function bound(most, tokens, service)
  local in_flight = redis.call('ZCARD', leases)
  local sums = redis.call('HMGET', window, 'r', 't')
  local requests, spent = tonumber(sums[1] or 0) or 0, tonumber(sums[2] or 0) or 0
  local wait, kind = -1, nil
  if requests + 1 > most[2] then
    wait, kind = until_free('r', requests + 1 - most[2]), 'rpm'
  end
  -- A call larger than the whole limit is admitted when it is alone in the window.
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

-- The configured limits (concurrency, rpm, tpm) after the adaptive limits are applied.
local function limits(s, configured)
  local most = {}
  for i = 1, 3 do
    most[i] = allowed(s[6 + i], configured[i], i == 1 and START or nil)
  end
  return most
end

-- Why a call must wait, or nil.
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

-- An admitted call belongs to the cohort that is judged next, until that has enough of them.
local function join_cohort(lease, gauge)
  if not START then
    return
  end
  local g = decoded(gauge, true)
  local c = g and g.climb or { since = 0, need = COHORT_MIN, full = 1 }
  local in_flight = redis.call('ZCARD', leases)
  local n = tonumber(redis.call('HGET', cohort, 'n') or 0)
  if now < c.since * 1000000 or in_flight < c.full or n >= c.need then
    return
  end
  redis.call('HSET', cohort, 'm' .. lease, 1, 'last', text(now), 'need', text(c.need))
  redis.call('HINCRBY', cohort, 'n', 1)
  redis.call('HINCRBY', cohort, 'open', 1)
  redis.call('HINCRBY', cohort, 'flight', in_flight)
end

-- Whether too many calls fail that were admitted since the limit has moved.
local function count_ended(g, admitted, kind)
  if admitted < (g and g.grows_at * 1000000 or 0) then
    return false
  end
  local all = redis.call('HINCRBY', cohort, 'ended', 1)
  local failed = redis.call('HINCRBY', cohort, 'failed', kind == 'failed' and 1 or 0)
  return kind == 'failed' and failed >= FAILED_MIN and failed >= FAILED_SHARE * all
end

-- Whether nine in ten calls of a full cohort have ended, after a call. One whose worker died keeps it
-- waiting for four mean calls at most.
local function cohort_ended(lease, lasted, kind, service)
  if redis.call('HDEL', cohort, 'm' .. lease) == 1 then
    redis.call('HINCRBY', cohort, 'open', -1)
    if kind ~= '' and kind ~= 'failed' then
      redis.call('HINCRBY', cohort, 'c' .. kind, 1)
      redis.call('HINCRBY', cohort, 'u' .. kind, text(lasted))
      redis.call('HINCRBY', cohort, 'q' .. kind, text((lasted / 1000) ^ 2))
    end
  end
  local c = redis.call('HMGET', cohort, 'n', 'need', 'open', 'last')
  local need = tonumber(c[2] or 0)
  local is_late = need > 0 and now - c[4] > 4 * service
  return need > 0 and tonumber(c[1]) >= need and (tonumber(c[3]) <= need / 10 or is_late)
end

-- A call has ended: ``kind`` of an answered one, 'failed', or '' of one that tells nothing. Returns the
-- cohort if it can be judged now.
local function leave_cohort(lease, admitted, kind)
  if not START then
    return nil
  end
  local s = redis.call('HMGET', state, 'service', 'gauge:concurrency')
  local failing = count_ended(decoded(s[2], true), admitted, kind)
  if cohort_ended(lease, now - admitted, kind, tonumber(s[1] or 0)) or failing then
    return { text(now), s[2] or '', failing and redis.call('ZCARD', leases) or -1, redis.call('HGETALL', cohort) }
  end
  return nil
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
  join_cohort(lease, s[7])
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

-- Ends a call: frees its slot, and replaces its reservation in the window by requests and tokens
-- (nil: the reserved tokens). They leave a window after the sending, or after the reply if ``sent``
-- is nil. Returns when it was admitted, or nil if the lease is unknown.
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

local function settle(lease, tokens, late, sent, kind)
  if tokens == nil then
    local admitted = finish(lease, 1, nil, sent)
    return { admitted and 1 or 0, admitted and leave_cohort(lease, admitted, kind) }
  end
  local call = redis.call('HGET', calls, lease)
  if not call then
    return { 0 }
  end
  -- The provider cannot have counted before now what the reservation did not cover.
  late = math.min(tokens, math.max(late, tokens - tonumber(call:match('(%d+)$'))))
  local admitted = finish(lease, 1, tokens - late, sent)
  succeeded(admitted)
  if late > 0 then
    count(leaving(now + span), 0, late)
  end
  return { 1, leave_cohort(lease, admitted, kind) }
end

local function start_probing()
  redis.call('HSET', state, 'refused_at', text(now), 'refused', 0, 'admitted', 0,
    'probe_every', PROBE_US, 'probe_at', text(now + PROBE_US), 'probing_since', text(now))
end

local function probe_less(every)
  every = math.min(PROBE_US_MAX, math.floor(every * PROBE_GROWTH))
  redis.call('HSET', state, 'probe_every', text(every), 'probe_at', text(now + every))
end

-- Refusals of calls that were admitted before the first refusal have the same cause: not counted.
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
  local ended_cohort = admitted and leave_cohort(lease, admitted, kind == '' and 'failed' or '')
  return { now, admitted or -1, in_flight, requests, tokens, probing, gauge, ended_cohort }
end

local function cancel(lease)
  local admitted = finish(lease, 0, 0)
  local since = redis.call('HGET', state, 'refused_at')
  if admitted and since and admitted >= tonumber(since) then
    redis.call('HINCRBY', state, 'admitted', -1)
  end
  if admitted then
    leave_cohort(lease, admitted, '')
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
    -- Its share of the window is unknown, so there is nothing to correct.
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
    if kind == 'concurrency' then
      redis.call('DEL', cohort)
    end
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
  settle = function() return settle(ARGV[5], number(6), number(7), number(8), ARGV[9]) end,
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
