package api

import (
	"net/http"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/order/internal/app"
)

// GetSagaStyle handles GET /sagas/style.
func (a *API) GetSagaStyle(w http.ResponseWriter, r *http.Request) {
	s, err := a.app.GetSagaStyle(r.Context())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, rampView(s))
}

// SetSagaStyle handles PUT /sagas/style.
func (a *API) SetSagaStyle(w http.ResponseWriter, r *http.Request) {
	body, err := httpapi.Decode[SetSagaStyle](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	s, err := a.app.SetSagaStyle(r.Context(), int(body.OrchestratedPercent))
	if err != nil {
		httpapi.WriteError(w, r, refusal(err))
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, rampView(s))
}

func rampView(s app.SagaStyle) Ramp {
	return Ramp{OrchestratedPercent: int32(s.OrchestratedPercent), Ready: s.Ready, Reason: optional(s.Reason), UpdatedAt: s.ChangedAt}
}
