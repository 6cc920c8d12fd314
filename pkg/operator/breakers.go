package operator

import (
	"net/http"

	"eventshop.example/pkg/operator/operatorapi"
)

// ListBreakers handles GET /breakers with the breakers of this process; replicas share none.
func (a *api) ListBreakers(w http.ResponseWriter, r *http.Request) {
	answer := operatorapi.Breakers{Breakers: make([]operatorapi.Breaker, 0, len(a.Breakers))}
	for _, b := range a.Breakers {
		s := b.State()
		answer.Breakers = append(answer.Breakers, operatorapi.Breaker{
			Name: s.Name, State: operatorapi.BreakerState(s.State), Failures: int32(s.Failures), Since: s.Since,
			RetryAfterMs: s.RetryAfterMS, LastFault: s.LastFault,
		})
	}
	a.respond(w, r)(answer, nil)
}
