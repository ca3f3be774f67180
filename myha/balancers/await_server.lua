-- Holds a new connection while no server of its pool takes traffic, so that a client that connects
-- in the middle of a change of writer waits for the new writer instead of being turned away.
-- Used as: tcp-request content lua.await_server POOL LIMIT_MS
-- The wait is bounded: after LIMIT_MS the connection goes on, finds no server and is closed.
local POLL_MS = 2

core.register_action("await_server", { "tcp-req" }, function(txn, pool, limit_ms)
  local polls = math.floor(tonumber(limit_ms) / POLL_MS)
  while polls > 0 and txn.f:nbsrv(pool) == 0 do
    core.msleep(POLL_MS)
    polls = polls - 1
  end
end, 2)
