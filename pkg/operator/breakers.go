package operator

import (
	"net/http"

	"eventshop.example/pkg/breaker"
)

// breakers answers GET /breakers: those of this process, for replicas share none.
func (a *api) breakers(_ *http.Request) (any, error) {
	answer := struct {
		Breakers []breaker.Snapshot `json:"breakers"`
	}{make([]breaker.Snapshot, 0, len(a.Breakers))}
	for _, b := range a.Breakers {
		answer.Breakers = append(answer.Breakers, b.State())
	}
	return answer, nil
}
