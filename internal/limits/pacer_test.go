package limits_test

import (
	"sync"
	"testing"

	"pushgateway/internal/conntest"
	"pushgateway/internal/limits"
)

// A push that arrives while many others begin waits for a few of them.
func TestPacerLetsOthersThrough(t *testing.T) {
	const perTurn = 4
	p := limits.NewPacer(perTurn)
	// Those of this turn, and of the next if they are woken first.
	conntest.WantTurns(t, 100, 50, 1000, 2*perTurn, func(int) { p.WaitToBegin() })
}

// Every push gets its turn, whatever others do, and a pacer without a pipe keeps nobody waiting.
func TestPacerForgetsNobody(t *testing.T) {
	t.Parallel()
	for _, p := range []*limits.Pacer{limits.NewPacer(1), limits.NewPacer(3), new(limits.Pacer)} {
		var pushes sync.WaitGroup
		for range 50 {
			pushes.Go(func() {
				for range 200 {
					p.WaitToBegin()
				}
			})
		}
		pushes.Wait()
	}
}
