# make run    build, then the sample pipeline from raw text to a trained model
# make test   every test
# make check  gofmt, vet, staticcheck, race detector
GO ?= go
PIPELINE ?= pipelines/v16.yaml
PROFILE ?= sample
export CGO_ENABLED = 1

.PHONY: build run test check vet race schema golden clean

build:
	$(GO) build -o bin/pipeline ./cmd/pipeline

run: build
	bin/pipeline run $(PIPELINE) --profile $(PROFILE)

test:
	$(GO) test -timeout 20m ./...

check: vet race

vet:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

race:
	$(GO) test -race -timeout 40m ./...

schema: build
	bin/pipeline schema > pipelines/schema.json

# Record the golden digests of stage kinds whose version was raised.
golden:
	$(GO) test $$(grep -rl --include='*_test.go' stagetest.Golden stages | xargs -n1 dirname | sort -u | sed 's|^|./|') -run TestGolden -update

clean:
	rm -rf bin
