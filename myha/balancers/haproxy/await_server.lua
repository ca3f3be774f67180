-- Holds a new connection while no server of its pool takes traffic, so that a client that connects
-- in the middle of a change of writer waits for the new writer instead of being turned away.
-- Used as: tcp-request content lua.await_server POOL LIMIT_MS PAUSE_MS
-- The wait is bounded: after LIMIT_MS the connection goes on, and is closed where it finds no server.
--
-- A pause is lost when HAProxy's own clock is behind by as much as the pause is long, as happens on
-- a machine that has more to do than cores: the client then waits for the whole inspect-delay.

-- By the clock, not by counting the pauses: on a busy machine each takes longer than it was told.
local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

core.register_action("await_server", { "tcp-req" }, function(txn, pool, limit_ms, pause_ms)
  local began = now_ms()
  while txn.f:nbsrv(pool) == 0 do
    local waited = now_ms() - began
    -- Below zero: the clock was set back. Better turned away once than waiting for that long.
    if waited < 0 or waited >= tonumber(limit_ms) then
      return
    end
    core.msleep(tonumber(pause_ms))
  end
end, 3)
