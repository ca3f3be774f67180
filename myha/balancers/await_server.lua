-- Holds a new connection while no server of its pool takes traffic, so that a client that connects
-- in the middle of a change of writer waits for the new writer instead of being turned away.
-- Used as: tcp-request content lua.await_server POOL LIMIT_MS
-- The wait is bounded: after LIMIT_MS the connection goes on, finds no server and is closed.
-- A pause is lost when HAProxy's own clock is behind by as much as the pause is long, as happens on
-- a machine that has more to do than cores: the client then waits for the whole inspect-delay. So
-- pauses are short only at first, and a client that has to wait for long takes few and long ones.
local SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS = 2, 25
local PART_OF_WAIT = 4 -- a new writer is noticed after a quarter more than the wait at most

-- By the clock, not by counting the pauses: on a busy machine each takes longer than it was told.
local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

core.register_action("await_server", { "tcp-req" }, function(txn, pool, limit_ms)
  local began = now_ms()
  while txn.f:nbsrv(pool) == 0 do
    local waited = now_ms() - began
    -- Below zero: the clock was set back. Better turned away once than waiting for that long.
    if waited < 0 or waited >= tonumber(limit_ms) then
      return
    end
    local pause = math.floor(waited / PART_OF_WAIT)
    core.msleep(math.max(SHORTEST_PAUSE_MS, math.min(LONGEST_PAUSE_MS, pause)))
  end
end, 2)
