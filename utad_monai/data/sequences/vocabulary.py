"""The words of sequence names: scanners' and people's, in the languages of European and American hospitals.

Words are in lower case, without accents.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ---- weightings ----
T1_SEQUENCES = _words("mprage rage mp2rage spgr fspgr irfspgr bravo vibe starvibe lava thrive ethrive tfl3d")
"""Sequences that are T1-weighted without saying so."""
T2_SEQUENCES = _words("haste ssfse frfse")
FLAIR_WORDS = _words("flair flairw darkfluid t2f")
INVERSION_WORDS = _words("tirm tir ir irprep spcir")
"""Inversion recovery: FLAIR, STIR or T1, whichever its inversion time makes it."""
T2_STAR_WORDS = _words("gre ffe fl2d fl3d flash hemo haemo heme merge medic star gradient gradientenecho")
"""T2* beside a T2, nothing beside a T1."""
T2_STAR_ALONE = _words("gre hemo haemo heme merge medic")
"""Those that are T2* where nothing else is said."""

# ---- contrast agent ----
CONTRAST = re.compile(
    r"(?:post?|po)?[ck]ontras\w*|gad\w*|gd|gd(?:dtpa|dota|bopta)|dtpa|dota|bopta|km|kmi|ce|cm|mkm|nkm|mdc"
    r"|cmdc|civ|iv|inj|inject\w*|"
    r"injek\w*|injiz\w*|injet\w*|iniezione|inyec\w*|pg|pgd|pgad|enh|enhanc\w*|dotarem|dotagraf|clariscan"
    r"|cyclolux|artirem|"
    r"magnevist|magnograf|magnescope|multihance|prohance|omniscan|optimark|elucirem|vueway|primovist|eovist|vasovist|"
    r"ablavar|pixxoscan|ferumoxytol|feraheme|delay|delayed|late|spat|spaet|tardi\w*|ilacli|postcon|\w+hance"
)
"""Contrast agent: the word, what agents are called, how they are given, and images long after."""
NATIVE = re.compile(
    r"nativ|native|nativo|nativa|natif|plain|unenh\w*|nonenh\w*|non?contrast\w*|non?con|non?ce|non?gd"
    r"|nongad\w*|precontrast\w*|"
    r"precon|prekm|nc|woc|wocon|okm|smdc|kontrast(?:siz|frei|los)\w*|ilacsiz|unkontrast\w*|basal|basale"
)
"""Without contrast agent, in one word."""
NEGATIONS = _words(
    "no non not none without wo ohne o sans sin sem senza zonder utan uden uten bez minus kein keine"
    " before prior vor avant prima antes voor przed fore"
)
"""They make the contrast word that follows a native image; before other words (`non FS`) they say nothing of it."""
NEGATIONS_ALONE = _words("without wo ohne sans senza zonder sin sem utan uden uten bez")
"""Those that speak of contrast agent also at the end of a name."""
BEFORE_ALONE = _words("pre before prior avant vor")
AFTER_ALONE = _words("post after apres nach dopo tras despues apos depois")
WITH = _words("w with mit avec con com met med post iv plus")
FILLERS = _words("to of the any de di del da do la le il lo el iv i v gabe and y e et und")

VISITS = (
    r"(?:op|ops|rt|xrt|crt|srs|tx|gk|ct?rt|tmz|ttf|sx|bx|tto)(?![a-z])|operat|surg|chirurg|cirug|cirurg|resec|resek|"
    r"exere|radio|radia|irradi|bestrahl|strahl|chemo|chimio|quimio|kemo|terap|therap|traitement"
    r"|tratamiento|trattamento|"
    r"tratamento|treat|behandl|intervent|ingreep|biops|craniot|kraniot|cranio|gamma|cyberknife|embol|avastin|beva|"
    r"temod|temozol|trauma|ictal|partum|mortem|shunt|evac|proce|steroid|cycle|zyklus|vaccin|immuno|ablat"
    r"|litt(?![a-z])"
)
"""What patients have been through: `pre` and `post` of it say nothing of contrast agent."""

# ---- known, and not used ----
OTHER_SEQUENCES = _words(
    "dwi dw diff diffusion diffusie diffusione difusion difusao adc eadc dadc trace tracew dti dki dsi"
    " hardi noddi ivim"
    " tensor fa colfa md ep2d epi resolve zoomit bold fmri rest resting asl pcasl pasl dsc dce perf"
    " perfusion perfusao"
    " perfusione pwi pbp cbv rcbv cbf rcbf mtt ttp tmax ktrans dyn dynamic dynamisch dynamique dinamico"
    " dinamica twist"
    " tricks swi swan venobold swip qsm mip mips minip pha phase ph phs venc pd pdw pdt2 densite dp mapit"
    " tof mra mrv cemra angio"
    " angiography venogram venography loc localizer localiser localizador localizzatore localisateur"
    " lokalizer lokalisator"
    " topogram scout survey scano 3plane 3pl smartbrain aahead aahscout stir tiar ciss fiesta trufi trufisp truefisp"
    " bssfp balanced bffe fisp map maps mapping kartierung relaxometry t1map t2map t1rho symri"
    " magic synth synthetic synthetique"
    " sintetico syn pseudo predicted generated svs csi mrs mrsi spectro spectroscopy spektroskopie press"
    " steam cal calib"
    " calibration shim fieldmap b0map b1map tb1map noise sub subs subt subtr subtract subtracted"
    " subtraction substraction subtraktion"
    " soustraction sottrazione sustraccion subtracao resta mtc mtr mt mtsat inv1 inv2 psir dir inphase"
    " opp opposed oop"
    " elastography mre cest apt aptw ute zte petra ct cta pet spect screensave secondary report phoenix phoenixzip"
    " defacemask vfa mese megre mpm irt1 uncombined sbref m0scan r1 r2 imag imaginary real ratio t2star t2starw"
    " t2starmap difference quantitative"
)
"""Other sequences, and what is computed from images."""
OTHER_BODY = _words(
    "spine spinal cspine tspine lspine cervical thoracic lumbar sacral sacrum neck myelon cord hws bws lws rachis"
    " columna colonna coluna wirbelsaule wervelkolom kregoslup dorsal lombaire lumbal zervikal cervicale"
    " cou hals cuello"
    " collo kark knee knie genou ginocchio rodilla shoulder schulter abdomen abdominal liver leber pelvis"
    " becken prostate"
    " breast mamma chest thorax cardiac heart herz hip hufte ankle wrist plexus femur tibia wholebody csp tsp lsp"
)
"""Parts of the body that are no brain."""
DOUBTFUL = _words("echo1 echo2 echo3 e1 e2 fat pdfs grase mpr0")
"""An echo of several, fat images: they may or may not be the weighting that is said."""
WATER = _words("w water wasser eau agua acqua")
NOT_WATER = _words("f fat fett graisse grasa grasso op opp in ip out ff inphase oop")

# ---- what is drawn ----
SEGMENTATIONS = _words(
    "seg segs segm segmentation segmentations segmentacion segmentazione segmentierung segmentatie dseg"
    " roi rois label labels"
    " labelmap annotation annotations contour contours gtv truth groundtruth"
)
MASK_WORDS = _words("mask masks brainmask betmask maske masken masque maschera mascara masker msk")
TUMOUR_WORDS = _words(
    "tumour tumor tumore tumeur tumoral lesion lesions lasion laesie lesione lesao glioma gliom metastasis edema oedema"
)
TUMOUR_PARTS = _words("whole core enhancing necrosis necrotic wt et tc ncr cavity resection manual auto")
BRAIN_WORDS = _words(
    "brain bet hdbet synthstrip skull skullstrip hirn gehirn cerveau cerebro cervello brainmask betmask hersenen"
)
TISSUE_WORDS = _words(
    "aseg aparc parc parcellation atlas pve tissue tissues wm gm csf probseg ventricle ventricles hippocampus face"
)
"""Labels of other things than tumours."""

PLAIN = frozenset().union(
    *(T1_SEQUENCES, T2_SEQUENCES, FLAIR_WORDS, INVERSION_WORDS, T2_STAR_WORDS, NEGATIONS, BEFORE_ALONE, AFTER_ALONE),
    *(OTHER_SEQUENCES, OTHER_BODY, DOUBTFUL, SEGMENTATIONS, MASK_WORDS, TUMOUR_WORDS, BRAIN_WORDS, TISSUE_WORDS),
)
"""Words that are not taken apart."""
MAGNETISATION_TRANSFER = _words("mt mtc")
"""Not used, but after contrast agent it may be what a hospital takes for its T1."""
UNSURE = _words("unsure c k ev wwo")
"""They may mean contrast agent."""
BESIDE_A_MASK = _words("final edited corrected native binary bin new image img smooth dilated file nii case head strip")

# ---- words without a space between them ----
JOINED_WORDS = _words(
    "t1 t1w t1wi t1c t1ce t2 t2w t2wi t2f t2star flair mprage mpr fspgr spgr bravo vibe mp2rage space spc"
    " tse fse cube tfe ffe gre"
    " tir tirm stir blade propeller haste ax axial sag cor tra 3d 2d iso hr fs se ir gd gad gado"
    " gadolinium gadovist gadavist"
    " gadobutrol dotarem clariscan prohance multihance omniscan magnevist km kontrast contrast contraste"
    " contrasto mdc civ inj"
    " post pre op rt nach ohne vor nativ native non sans senza zonder sin sem con with without pg"
    " enhanced enh postcontrast precontrast"
    " reg coreg bet brain mask seg stripped unstripped norm normalized n4 bias corr corrected warped"
    " resampled adc dwi"
    " map star hemo swi sub subtraction perf perfusion dark fluid darkfluid mni sri24 sri 1mm raw bfc mp"
    " uni inv1 inv2 unstrip preproc"
    " noncontrast noncon dixon syn synth tumor tumour lesion"
)
JOINED = sorted(JOINED_WORDS, key=len, reverse=True)
"""What a word may be made of that is none itself, such as `mprageGd` and `T2reg`."""
