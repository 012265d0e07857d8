-- A replica tells that it is there, and learns how many are.
-- KEYS[1]: the replicas by the second they last told. ARGV: this one's id, seconds after which a silent one is gone.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {redis.call('ZCARD', KEYS[1])}
