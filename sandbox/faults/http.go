package faults

import (
	"net/http"
	"time"

	"eventshop.example/sandbox/internal/wire"
)

// Serve runs an operation under the rules. It calls do at most once. When do returns, everything
// that its answer reports is durable. Serve cuts a connection with http.ErrAbortHandler: net/http
// closes the connection without an answer and without a log line.
func (s *Set) Serve(w http.ResponseWriter, r *http.Request, call Call, do func(Effect) wire.Answer) {
	effect := s.Take(call)
	if effect.Latency > 0 {
		timer := time.NewTimer(effect.Latency)
		defer timer.Stop()
		// A caller that leaves does not cancel its request, because a slow server may still apply
		// it. So the operation continues after the full latency, whether or not the caller waits.
		<-timer.C
	}
	if effect.Down {
		panic(http.ErrAbortHandler)
	}
	if effect.Status != 0 {
		wire.Send(w, wire.Refuse(effect.Status, "fault", "a fault rule answers %s with this status", call.Operation))
		return
	}
	answer := do(effect)
	if effect.AnswerLost {
		panic(http.ErrAbortHandler)
	}
	wire.Send(w, answer)
}

// Register adds GET, POST and DELETE /faults and DELETE /faults/{id} to mux.
func (s *Set) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) {
		rules := s.List()
		if rules == nil {
			rules = []Rule{}
		}
		wire.Send(w, wire.Answer{Status: http.StatusOK, Body: map[string]any{"faults": rules}})
	})
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var rule Rule
		if !wire.Read(w, r, &rule) {
			return
		}
		kept, err := s.Add(rule)
		if err != nil {
			wire.Send(w, wire.Refuse(http.StatusUnprocessableEntity, "invalid_rule", "%v", err))
			return
		}
		wire.Send(w, wire.Answer{Status: http.StatusCreated, Body: kept})
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !s.Remove(r.PathValue("id")) {
			wire.Send(w, wire.Refuse(http.StatusNotFound, "unknown_rule", "no rule %q", r.PathValue("id")))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
