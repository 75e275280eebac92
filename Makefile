# make run    build, then the sample pipeline from raw text to a trained model
# make test   every test
# make walk   every fault at every event of a small pipeline (`make test` tries the telling ones)
# make soak   random pipelines, faults and kills for SOAK=10m
# make ledger-scale  a ledger of a million parts, and what each question to it takes
# make interop  our tokenizers' ids beside those of tokenizers, tiktoken and transformers, from PyPI (needs Python 3);
#             make interop-record writes them down for the tests
# make check  gofmt, vet, staticcheck, race detector
# make vuln   known vulnerabilities that the program can reach
GO ?= go
PIPELINE ?= pipelines/v16.yaml
PROFILE ?= sample
export CGO_ENABLED = 1

.PHONY: build run test walk soak ledger-scale interop interop-record check vet race vuln schema golden s3-server clean verify-100

build:
	$(GO) build -o bin/pipeline ./cmd/pipeline

run: build
	bin/pipeline run $(PIPELINE) --profile $(PROFILE)

test:
	$(GO) test -timeout 20m ./...

walk:
	WALK=all $(GO) test -count 1 -timeout 0 -v -run TestWalk ./dag/walk

SOAK ?= 10m
soak:
	SOAK=$(SOAK) $(GO) test -count 1 -timeout 0 -v -run TestSoak ./dag/walk

ledger-scale:
	LEDGER_SCALE=1 $(GO) test -count 1 -timeout 20m -v ./artifacts -run '^TestLedgerAtScale$$'

INTEROP = INTEROP_PYTHON=$(CURDIR)/bin/interop/bin/python $(GO) test -count 1 -timeout 60m -v ./model/tokenizer -run '^TestInterop$$'
interop: bin/interop/installed
	$(INTEROP)

interop-record: bin/interop/installed
	$(INTEROP) -update

bin/interop/installed: model/tokenizer/testdata/interop/requirements.txt
	python3 -m venv bin/interop
	bin/interop/bin/pip install -q -r $<
	touch $@

check: vet race

vet:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

race:
	$(GO) test -race -timeout 40m ./...

# A hundred times a sample of the test-size pipeline's parts done again: no alarm.
verify-100:
	PIPELINE_TEST_VERIFY_TIMES=100 $(GO) test -count=1 -timeout 120m -v ./cmd/pipeline -run '^TestVerifyRerun$$'

vuln:
	GO=$(GO) .ci/vuln

schema: build
	bin/pipeline schema > pipelines/schema.json

# Record the golden digests of stage kinds whose version was raised.
golden:
	$(GO) test $$(grep -rl --include='*_test.go' stagetest.Golden stages | xargs -n1 dirname | sort -u | sed 's|^|./|') -run TestGolden -update

# A real S3 server over a directory, for the tests of push and pull; without it they are skipped.
s3-server: bin/versitygw

bin/versitygw: remote/testdata/s3server/go.mod
	mkdir -p bin
	cd remote/testdata/s3server && $(GO) build -o ../../../bin/versitygw github.com/versity/versitygw/cmd/versitygw

clean:
	rm -rf bin
