//! Every measurement, one a line.

use crate::sample::Sample;

const HEAD: &str = "run,load,clients,target,tps,failed,p50_ms,p99_ms,error\n";

pub(super) fn csv(samples: &[Sample]) -> String {
    samples.iter().fold(HEAD.to_owned(), |text, sample| text + &line(sample))
}

fn line(sample: &Sample) -> String {
    let cell = &sample.cell;
    let head = format!("{},{},{},{}", sample.run, cell.load.name(), cell.clients, cell.target.as_str());
    match &sample.outcome {
        Ok(m) => format!("{head},{:.1},{},{:.3},{:.3},\n", m.tps, m.failed, m.p50_ms, m.p99_ms),
        Err(error) => format!("{head},,,,,\"{}\"\n", error.replace('"', "'").replace('\n', " / ")),
    }
}
